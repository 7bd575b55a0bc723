package format

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Types of nodes.
const (
	TypeFile    = "file"
	TypeDir     = "dir"
	TypeSymlink = "symlink"
	TypeDevice  = "dev"
	TypeChar    = "chardev"
	TypeFifo    = "fifo"
	TypeSocket  = "socket"
)

// Tree is a folder: its entries, sorted by the bytes of their names.
type Tree struct {
	Nodes []*Node `json:"nodes"`
}

// Node is an entry of a folder.
type Node struct {
	// Name and LinkTarget are bytes as the file system has them, UTF-8 or not.
	Name       string
	Type       string
	Mode       fs.FileMode
	ModTime    time.Time
	AccessTime time.Time
	ChangeTime time.Time
	UID, GID   uint32
	User       string
	Group      string
	Inode      uint64
	DeviceID   uint64
	Size       uint64
	Links      uint64
	LinkTarget string
	Xattrs     []Xattr
	Device     uint64
	// Content are the blobs of a file, in order; Subtree the tree of a folder.
	Content []ID
	Subtree *ID
}

// Xattr is an extended attribute.
type Xattr struct {
	Name  string `json:"name"`
	Value []byte `json:"value"`
}

// nodeJSON is a node as it is stored: names quoted as Go quotes strings, without the quotes.
type nodeJSON struct {
	Name          string      `json:"name"`
	Type          string      `json:"type"`
	Mode          fs.FileMode `json:"mode,omitempty"`
	ModTime       time.Time   `json:"mtime"`
	AccessTime    time.Time   `json:"atime"`
	ChangeTime    time.Time   `json:"ctime"`
	UID           uint32      `json:"uid"`
	GID           uint32      `json:"gid"`
	User          string      `json:"user,omitempty"`
	Group         string      `json:"group,omitempty"`
	Inode         uint64      `json:"inode,omitempty"`
	DeviceID      uint64      `json:"device_id,omitempty"`
	Size          uint64      `json:"size,omitempty"`
	Links         uint64      `json:"links,omitempty"`
	LinkTarget    string      `json:"linktarget,omitempty"`
	LinkTargetRaw []byte      `json:"linktarget_raw,omitempty"`
	Xattrs        []Xattr     `json:"extended_attributes,omitempty"`
	Device        uint64      `json:"device,omitempty"`
	Content       []ID        `json:"content"`
	Subtree       *ID         `json:"subtree,omitempty"`
}

// MarshalJSON encodes the node as restic does.
func (n *Node) MarshalJSON() ([]byte, error) {
	quoted := strconv.Quote(n.Name)
	j := nodeJSON{
		Name: quoted[1 : len(quoted)-1], Type: n.Type, Mode: n.Mode, ModTime: within(n.ModTime), AccessTime: within(n.AccessTime), ChangeTime: within(n.ChangeTime),
		UID: n.UID, GID: n.GID, User: n.User, Group: n.Group, Inode: n.Inode, DeviceID: n.DeviceID, Size: n.Size, Links: n.Links,
		LinkTarget: n.LinkTarget, Xattrs: n.Xattrs, Device: n.Device, Content: n.Content, Subtree: n.Subtree,
	}
	if !utf8.ValidString(n.LinkTarget) {
		j.LinkTargetRaw = []byte(n.LinkTarget)
	}
	return json.Marshal(j)
}

// node is what MarshalJSON, or restic, has encoded.
func (j *nodeJSON) node() (*Node, error) {
	name, err := strconv.Unquote(`"` + j.Name + `"`)
	if err != nil {
		return nil, fmt.Errorf("%w: the name of a node cannot be read", ErrDamaged)
	}
	n := &Node{
		Name: name, Type: j.Type, Mode: j.Mode, ModTime: j.ModTime, AccessTime: j.AccessTime, ChangeTime: j.ChangeTime,
		UID: j.UID, GID: j.GID, User: j.User, Group: j.Group, Inode: j.Inode, DeviceID: j.DeviceID, Size: j.Size, Links: j.Links,
		LinkTarget: j.LinkTarget, Xattrs: j.Xattrs, Device: j.Device, Content: j.Content, Subtree: j.Subtree,
	}
	if len(j.LinkTargetRaw) > 0 {
		n.LinkTarget = string(j.LinkTargetRaw)
	}
	return n, nil
}

// within moves a time that JSON cannot hold to the nearest it can.
func within(t time.Time) time.Time {
	switch y := t.UTC().Year(); {
	case y < 1:
		return time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)
	case y > 9998:
		return time.Date(9998, 12, 31, 23, 59, 59, 0, time.UTC)
	}
	return t
}

// Encode is the content of the tree's blob.
func (t *Tree) Encode() ([]byte, error) {
	if t.Nodes == nil {
		t = &Tree{Nodes: []*Node{}}
	}
	text, err := json.Marshal(t)
	if err != nil {
		return nil, fmt.Errorf("encode a tree: %w", err)
	}
	return append(text, '\n'), nil
}

// ParseTree decodes the content of a tree's blob and refuses what would not be safe to restore: names that are empty, dots, or hold a slash or a zero, and names
// that come twice.
func ParseTree(content []byte) (*Tree, error) {
	// The nodes have no UnmarshalJSON of their own, which would have their text scanned once more.
	var parsed struct {
		Nodes []*nodeJSON `json:"nodes"`
	}
	if err := json.Unmarshal(content, &parsed); err != nil {
		return nil, fmt.Errorf("%w: a tree cannot be read: %w", ErrDamaged, err)
	}
	t := &Tree{Nodes: make([]*Node, len(parsed.Nodes))}
	sorted := true
	for i, j := range parsed.Nodes {
		if j == nil {
			return nil, fmt.Errorf("%w: a tree has an entry that is null", ErrDamaged)
		}
		n, err := j.node()
		if err != nil {
			return nil, err
		}
		if err := n.check(); err != nil {
			return nil, err
		}
		sorted = sorted && (i == 0 || t.Nodes[i-1].Name < n.Name)
		t.Nodes[i] = n
	}
	if !sorted {
		return t, t.unique()
	}
	return t, nil
}

// unique refuses names that come twice.
func (t *Tree) unique() error {
	seen := make(map[string]bool, len(t.Nodes))
	for _, n := range t.Nodes {
		if seen[n.Name] {
			return fmt.Errorf("%w: a tree has two entries of the name %q", ErrDamaged, n.Name)
		}
		seen[n.Name] = true
	}
	return nil
}

func (n *Node) check() error {
	if n.Name == "" || n.Name == "." || n.Name == ".." || strings.ContainsAny(n.Name, "/\x00") {
		return fmt.Errorf("%w: a tree has an entry of the name %q", ErrDamaged, n.Name)
	}
	switch n.Type {
	case TypeDir:
		if n.Subtree == nil {
			return fmt.Errorf("%w: the folder %q has no tree", ErrDamaged, n.Name)
		}
	case TypeFile:
		if n.Subtree != nil {
			return fmt.Errorf("%w: the file %q has a tree", ErrDamaged, n.Name)
		}
	case TypeSymlink:
		if n.LinkTarget == "" || strings.Contains(n.LinkTarget, "\x00") {
			return fmt.Errorf("%w: the link %q has no target that could be one", ErrDamaged, n.Name)
		}
	case TypeDevice, TypeChar, TypeFifo, TypeSocket:
	default:
		return fmt.Errorf("%w: %q is of the unknown type %.20q", ErrDamaged, n.Name, n.Type)
	}
	return nil
}
