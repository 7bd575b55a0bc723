//go:build !linux

package repository

// pidSpace is empty: process numbers belong to the machine.
func pidSpace() string { return "" }
