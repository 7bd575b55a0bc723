//go:build linux || darwin || freebsd || netbsd || openbsd

package repository

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// mountKey tells file systems and their mounts apart.
type mountKey struct{ dev, mount uint64 }

// mounts are the file systems that the target is on: mostly one.
type mounts struct {
	byKey map[mountKey]*mount
	euid  uint32
}

// mount is a file system, with a folder of our own in which files are until they are complete.
type mount struct {
	key mountKey
	// at is the folder of the file system in which the stage is, root that folder, open.
	at    *outFolder
	root  int
	stage int
	name  string
	next  atomic.Int64
}

const stagePrefix = ".davit-restore-"

func isStage(name string) bool {
	digits, ok := strings.CutPrefix(name, stagePrefix)
	return ok && len(digits) == 16 && strings.Trim(digits, "0123456789abcdef") == ""
}

// of is the file system of a folder that is open, and in one of near's.
func (m *mounts) of(f *outFolder, fd int, near *mount) (*mount, error) {
	key, err := mountID(fd)
	if err != nil || near != nil && near.key == key {
		return near, err
	}
	if found := m.byKey[key]; found != nil {
		return found, nil
	}
	mt := &mount{key: key, at: f, root: -1, stage: -1}
	if mt.root, err = openFolderAt(fd, "."); err != nil {
		return nil, err
	}
	if err := mt.makeStage(); err != nil {
		_ = closeFD(mt.root)
		return nil, fmt.Errorf("make a folder for what is not complete: %w", err)
	}
	m.byKey[key] = mt
	mt.sweep(m.euid)
	return mt, nil
}

// makeStage makes and locks the stage. Another restore that sweeps may be faster: then another one is made.
func (m *mount) makeStage() error {
	for try := 1; ; try++ {
		var random [8]byte
		_, _ = rand.Read(random[:]) // never fails
		m.name = stagePrefix + hex.EncodeToString(random[:])
		if err := retry(func() error { return unix.Mkdirat(m.root, m.name, 0o700) }); err != nil {
			return err
		}
		fd, err := openFolderAt(m.root, m.name)
		if err == nil && m.lockStage(fd) {
			m.stage = fd
			dropACL(fd)
			return nil
		}
		_ = closeFD(fd)
		_ = unix.Unlinkat(m.root, m.name, unix.AT_REMOVEDIR)
		if try == 3 {
			return errors.Join(errors.New("somebody else removes it"), err)
		}
	}
}

// lockStage locks it, where the file system can, so that others leave it alone.
func (m *mount) lockStage(fd int) bool {
	err := retry(func() error { return unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) })
	if errors.Is(err, unix.EWOULDBLOCK) {
		return false
	}
	st, err := statAt(m.root, m.name)
	return err == nil && st.present
}

// sweep removes the stages of restores that are dead. What cannot be removed stays.
func (m *mount) sweep(euid uint32) {
	names, err := folderNames(m.root)
	if err != nil {
		return
	}
	for _, name := range names {
		if name == m.name || !isStage(name) {
			continue
		}
		fd, err := openFolderAt(m.root, name)
		if err != nil {
			continue
		}
		st, err := statFD(fd)
		if err == nil && st.uid == euid && st.mode&0o777 == 0o700 && retry(func() error { return unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) }) == nil {
			_ = emptyStage(fd)
			_ = unix.Unlinkat(m.root, name, unix.AT_REMOVEDIR)
		}
		_ = closeFD(fd)
	}
}

// emptyStage removes the files in a stage; there are no folders.
func emptyStage(fd int) error {
	names, err := folderNames(fd)
	for _, name := range names {
		err = errors.Join(err, retry(func() error { return unix.Unlinkat(fd, name, 0) }))
	}
	return err
}

// temp is a new name in the stage.
func (m *mount) temp() string { return strconv.FormatInt(m.next.Add(1), 36) }

// discard removes a file from the stage.
func (m *mount) discard(name string) error {
	err := retry(func() error { return unix.Unlinkat(m.stage, name, 0) })
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// sync writes everything to the disks.
func (m *mounts) sync() error {
	var failures []error
	for _, mt := range m.byKey {
		if err := syncMount(mt.root); err != nil {
			failures = append(failures, fmt.Errorf("write to the disk: %w", err))
		}
	}
	return errors.Join(failures...)
}

// close removes the stages; the folders in which they were get their times back.
func (m *mounts) close() error {
	var failures []error
	for _, mt := range m.byKey {
		err := emptyStage(mt.stage)
		_ = closeFD(mt.stage)
		if err == nil {
			err = retry(func() error { return unix.Unlinkat(mt.root, mt.name, unix.AT_REMOVEDIR) })
		}
		if err != nil {
			failures = append(failures, fmt.Errorf("remove the folder %q of what was not complete: %w", mt.name, err))
		} else if n := mt.at.node; n != nil {
			failures = append(failures, setTimes(mt.root, ".", n)...)
		}
		_ = closeFD(mt.root)
	}
	return errors.Join(failures...)
}
