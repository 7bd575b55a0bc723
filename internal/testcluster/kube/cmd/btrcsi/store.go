package main

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// store is a folder of subvolumes, each with a file of what is known about it.
type store struct{ dir string }

// record is what is known about a volume or snapshot.
type record struct {
	// Source is the volume that a snapshot is of.
	Source string `json:"source,omitempty"`
	// Size is what was asked for, in bytes. Nothing holds a volume to it.
	Size int64 `json:"size"`
	// Made is the moment of a snapshot: what was written before is in it.
	Made time.Time `json:"made"`
	// Faults are those of its class.
	Faults faults `json:"faults"`
	// Token is the hash of the secret that belongs to it. Nil for none.
	Token []byte `json:"token,omitempty"`
}

// ready is false for a snapshot that is still being made ready.
func (r record) ready() bool { return !time.Now().Before(r.Made.Add(r.Faults.ReadyDelay)) }

func (s store) path(id string) string { return filepath.Join(s.dir, id) }

func validID(id string) bool { return id != "" && len(id) < 200 && !strings.ContainsAny(id, "/.\x00") }

// get returns fs.ErrNotExist where there is none.
func (s store) get(id string) (r record, err error) {
	if !validID(id) {
		return r, fs.ErrNotExist
	}
	data, err := os.ReadFile(s.path(id) + ".json")
	if err != nil {
		return r, err
	}
	return r, json.Unmarshal(data, &r)
}

// add makes a subvolume, of another's content or empty for "", with its record, or neither.
func (s store) add(id string, r record, source string, flags uint64) (record, error) {
	// One without a record is of a driver that was killed.
	if err := removeSubvolume(s.path(id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return r, err
	}
	r.Made = time.Now()
	var err error
	if source == "" {
		err = makeSubvolume(s.path(id))
	} else {
		err = cut(s.path(id), source, flags)
	}
	if err != nil {
		return r, err
	}
	if source == "" {
		err = os.Chmod(s.path(id), 0o777) // pods of any user write to it
	}
	if err == nil {
		err = s.put(id, r)
	}
	if err != nil {
		err = errors.Join(err, removeSubvolume(s.path(id)))
	}
	return r, err
}

func (s store) put(id string, r record) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	temp := s.path(id) + ".new"
	if err := os.WriteFile(temp, data, 0o600); err != nil {
		return err
	}
	return os.Rename(temp, s.path(id)+".json")
}

// remove removes the record last, so that a call that failed can be made again.
func (s store) remove(id string) error {
	if err := removeSubvolume(s.path(id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.Remove(s.path(id) + ".json")
}

// ids lists what has a record.
func (s store) ids() (ids []string, err error) {
	files, err := os.ReadDir(s.dir)
	for _, file := range files {
		if id, ok := strings.CutSuffix(file.Name(), ".json"); ok {
			ids = append(ids, id)
		}
	}
	return ids, err
}
