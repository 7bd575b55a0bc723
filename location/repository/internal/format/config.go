package format

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// Config is the config file of a repository.
type Config struct {
	Version int `json:"version"`
	ID      ID  `json:"id"`
	// Polynomial chooses where restic's chunks end: 64 bits, hexadecimal.
	Polynomial Polynomial `json:"chunker_polynomial"`
	// Davit is set in repositories that Davit made; other programs ignore it.
	Davit *ConfigDavit `json:"davit,omitempty"`
}

// ConfigDavit is what Davit adds to the config of a repository it makes.
type ConfigDavit struct {
	// ChunkSize is the average size of chunks near the beginning of a file, in bytes.
	ChunkSize int `json:"chunk_size"`
}

// Polynomial is one of restic's chunker.
type Polynomial uint64

// MarshalText is hexadecimal.
func (p Polynomial) MarshalText() ([]byte, error) { return strconv.AppendUint(nil, uint64(p), 16), nil }

// UnmarshalText reads hexadecimal.
func (p *Polynomial) UnmarshalText(text []byte) error {
	n, err := strconv.ParseUint(string(text), 16, 64)
	if err != nil {
		return fmt.Errorf("%w: the chunker's polynomial is no hexadecimal number", ErrDamaged)
	}
	*p = Polynomial(n)
	return nil
}

// ParseConfig reads the config of a repository of a known version.
func ParseConfig(text []byte) (*Config, error) {
	c := &Config{}
	if err := json.Unmarshal(text, c); err != nil {
		return nil, fmt.Errorf("%w: the config cannot be read: %w", ErrDamaged, err)
	}
	if c.Version < Version1 || c.Version > Version2 {
		return nil, fmt.Errorf("%w: %d; this program knows 1 and 2", ErrVersion, c.Version)
	}
	return c, nil
}

// Lock is a lock file: somebody works on the repository.
type Lock struct {
	Time      time.Time `json:"time"`
	Exclusive bool      `json:"exclusive"`
	Hostname  string    `json:"hostname"`
	Username  string    `json:"username"`
	PID       int       `json:"pid"`
	UID       uint32    `json:"uid,omitempty"`
	GID       uint32    `json:"gid,omitempty"`
}

// Snapshot is a snapshot file.
type Snapshot struct {
	Time     time.Time `json:"time"`
	Parent   *ID       `json:"parent,omitempty"`
	Tree     *ID       `json:"tree"`
	Paths    []string  `json:"paths"`
	Hostname string    `json:"hostname,omitempty"`
	Username string    `json:"username,omitempty"`
	UID      uint32    `json:"uid,omitempty"`
	GID      uint32    `json:"gid,omitempty"`
	Excludes []string  `json:"excludes,omitempty"`
	Tags     []string  `json:"tags,omitempty"`
	Original *ID       `json:"original,omitempty"`
	// ProgramVersion and Summary are written since restic 0.17.
	ProgramVersion string           `json:"program_version,omitempty"`
	Summary        *SnapshotSummary `json:"summary,omitempty"`
}

// SnapshotSummary is what a backup did, with restic's names.
type SnapshotSummary struct {
	BackupStart         time.Time `json:"backup_start"`
	BackupEnd           time.Time `json:"backup_end"`
	FilesNew            uint      `json:"files_new"`
	FilesChanged        uint      `json:"files_changed"`
	FilesUnmodified     uint      `json:"files_unmodified"`
	DirsNew             uint      `json:"dirs_new"`
	DirsChanged         uint      `json:"dirs_changed"`
	DirsUnmodified      uint      `json:"dirs_unmodified"`
	DataBlobs           int       `json:"data_blobs"`
	TreeBlobs           int       `json:"tree_blobs"`
	DataAdded           uint64    `json:"data_added"`
	DataAddedPacked     uint64    `json:"data_added_packed"`
	TotalFilesProcessed uint      `json:"total_files_processed"`
	TotalBytesProcessed uint64    `json:"total_bytes_processed"`
}

// ParseSnapshot reads a snapshot file.
func ParseSnapshot(text []byte) (*Snapshot, error) {
	s := &Snapshot{}
	if err := json.Unmarshal(text, s); err != nil {
		return nil, fmt.Errorf("%w: a snapshot cannot be read: %w", ErrDamaged, err)
	}
	if s.Tree == nil {
		return nil, fmt.Errorf("%w: a snapshot has no tree", ErrDamaged)
	}
	return s, nil
}
