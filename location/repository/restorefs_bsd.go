//go:build darwin || freebsd || netbsd || openbsd

package repository

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/davit-project/davit/location/repository/internal/format"
)

func setXattr(int, format.Xattr) error { return errors.ErrUnsupported }

func setLinkXattr(int, string, format.Xattr) error { return errors.ErrUnsupported }

func dropACL(int) {}

func softXattr(string, error) bool { return true }

func makeSpecial(int, string, *format.Node) error { return errors.ErrUnsupported }

func mountID(fd int) (mountKey, error) {
	st, err := statFD(fd)
	return mountKey{dev: st.dev}, err
}

func syncFile(fd int) error { return retry(func() error { return unix.Fsync(fd) }) }

func startSync(int) {}

func syncMount(fd int) error { return syncFile(fd) }
