//go:build unix && !linux

package repository

func xattrs(int, string) ([]Xattr, error) { return nil, nil }

func dataExtent(int, int64, int64) (begin, end int64, ok bool) { return 0, 0, false }

func readAhead(int) {}
