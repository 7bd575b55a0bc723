//go:build !linux

package main

// forgetPages is for Linux.
func forgetPages() {}
