package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/davit-project/davit/engine"
)

// state is the folder that holds the journals of runs and what the local cluster keeps:
//
//	runs/ID.journal
//	local/
//	local.lock
type state string

// openState returns the folder that the flag names, or the default one, and creates it.
func (p *program) openState(flag string) (state, error) {
	s, err := p.stateFolder(flag)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Join(string(s), "runs"), 0o700); err != nil {
		return "", fmt.Errorf("folder for journals (--state): %w", err)
	}
	return s, nil
}

// stateFolder returns the folder that the flag names, or the default one. It need not exist.
func (p *program) stateFolder(flag string) (state, error) {
	dir := flag
	if dir == "" {
		base := p.getenv("XDG_STATE_HOME")
		if base == "" && p.getenv("HOME") != "" {
			base = filepath.Join(p.getenv("HOME"), ".local", "state")
		}
		if base == "" {
			return "", errors.New("no folder for journals: give one with --state, or set HOME")
		}
		dir = filepath.Join(base, "davit")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("folder for journals (--state): %w", err)
	}
	return state(dir), nil
}

// local is the folder of the local cluster.
func (s state) local() string { return filepath.Join(string(s), "local") }

// localLock is locked, shared, by every process that uses the local cluster.
func (s state) localLock() string { return filepath.Join(string(s), "local.lock") }

var runID = regexp.MustCompile(`^[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?$`)

func badID(id string) error {
	return fmt.Errorf("run id %q: want at most 63 lower-case letters, digits, hyphens and dots, a letter or digit at both ends", id)
}

// journal is the file of a run's journal.
func (s state) journal(id string) (string, error) {
	if !runID.MatchString(id) {
		return "", badID(id)
	}
	return filepath.Join(string(s), "runs", id+".journal"), nil
}

// read returns the journal of a run and its events without locking it. An absent one is fs.ErrNotExist.
func (s state) read(ctx context.Context, id string) (engine.Journal, []engine.Event, error) {
	path, err := s.journal(id)
	if err != nil {
		return nil, nil, err
	}
	journal, err := engine.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("no run %q in %q: %w", id, s, fs.ErrNotExist)
	}
	if err != nil {
		return nil, nil, err
	}
	events, err := journal.Events(ctx)
	return journal, events, err
}

// newID makes an id for a run from the name of its action.
func newID(name string) string {
	name = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(name))
	name = strings.Trim(name[:min(len(name), 40)], "-")
	if name == "" {
		name = "run"
	}
	return name + "-" + strings.ToLower(rand.Text()[:8])
}
