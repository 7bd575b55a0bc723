//go:build linux

package repository

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// listing describes everything below a folder, with content and metadata, a line each.
func listing(t *testing.T, root string) []string {
	t.Helper()
	var lines []string
	inodes := map[uint64]string{}
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, p)
		if rel == "." {
			return nil
		}
		var st unix.Stat_t
		if err := unix.Lstat(p, &st); err != nil {
			return err
		}
		line := fmt.Sprintf("%q %o %d:%d %d.%09d", rel, st.Mode, st.Uid, st.Gid, st.Mtim.Sec, st.Mtim.Nsec)
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFREG:
			content, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			line += fmt.Sprintf(" %d %x", len(content), hashOf(content))
			if st.Nlink > 1 {
				if inodes[st.Ino] == "" {
					inodes[st.Ino] = rel
				}
				line += fmt.Sprintf(" links %d first %q", st.Nlink, inodes[st.Ino])
			}
		case unix.S_IFLNK:
			target, err := os.Readlink(p)
			if err != nil {
				return err
			}
			line += fmt.Sprintf(" -> %q", target)
		case unix.S_IFBLK, unix.S_IFCHR:
			line += fmt.Sprintf(" dev %d", st.Rdev)
		}
		lines = append(lines, line+xattrList(t, p))
		return nil
	})
	require.NoError(t, err)
	sort.Strings(lines)
	return lines
}

// sameTrees compares two folders, content and metadata.
func sameTrees(t *testing.T, want, got string) {
	t.Helper()
	require.Empty(t, differences(listing(t, want), listing(t, got)))
}

// differences are the first lines that only one of the two has.
func differences(want, got []string) []string {
	only := func(mark string, a, b []string) (lines []string) {
		for _, line := range a {
			if _, ok := slices.BinarySearch(b, line); !ok && len(lines) < 10 {
				lines = append(lines, mark+line)
			}
		}
		return lines
	}
	return append(only("- ", want, got), only("+ ", got, want)...)
}

func xattrList(t *testing.T, p string) string {
	t.Helper()
	buf := make([]byte, 64<<10)
	n, err := unix.Llistxattr(p, buf)
	if err != nil || n == 0 {
		return ""
	}
	var out []string
	for name := range strings.SplitSeq(strings.TrimSuffix(string(buf[:n]), "\x00"), "\x00") {
		value := make([]byte, 64<<10)
		n, err := unix.Lgetxattr(p, name, value)
		require.NoError(t, err)
		out = append(out, fmt.Sprintf(" %s=%q", name, value[:n]))
	}
	sort.Strings(out)
	return strings.Join(out, "")
}

// holes is how many bytes of the file take no room.
func holes(t *testing.T, p string) int64 {
	t.Helper()
	var st unix.Stat_t
	require.NoError(t, unix.Stat(p, &st))
	return st.Size - st.Blocks*512
}
