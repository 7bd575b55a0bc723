package repository

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/davit-project/davit/location/repository/internal/format"
)

// treeText is the content of a tree's blob, in the making: what format.Tree.Encode gives, in a third of the time. Nodes are encoded, and forgotten, as soon as those before
// them are, so that a huge folder is never in memory in full.
type treeText struct {
	mu   sync.Mutex
	text []byte
	// done are nodes that are ready, of which those before next are in the text.
	done []bool
	next int
}

// nodeSize is about how long the text of a node is, without its name, in bytes.
const nodeSize = 420

// begin makes room for a folder.
func (t *treeText) begin(entries []*Entry) {
	size := 32
	for _, e := range entries {
		size += nodeSize + len(e.Name)
	}
	t.text, t.done = make([]byte, 0, size), make([]bool, len(entries))
}

// ready says that node i will not change any more; a nil one is left out.
func (t *treeText) ready(nodes []*format.Node, i int) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.done[i] = true
	for ; t.next < len(nodes) && t.done[t.next]; t.next++ {
		n := nodes[t.next]
		if n == nil {
			continue
		}
		if len(t.text) == 0 {
			t.text = append(t.text, treeHead...)
		} else {
			t.text = append(t.text, ',')
		}
		var err error
		if t.text, err = appendNode(t.text, n); err != nil {
			return fmt.Errorf("encode %q of a tree: %w", n.Name, err)
		}
		nodes[t.next] = nil
	}
	return nil
}

const (
	treeHead = `{"nodes":[`
	treeTail = "]}\n"
)

// end returns the text.
func (t *treeText) end() []byte {
	if len(t.text) == 0 {
		t.text = append(t.text, treeHead...)
	}
	return append(t.text, treeTail...)
}

// appendNode appends the node as its MarshalJSON encodes it. What is rare is left to that.
func appendNode(text []byte, n *format.Node) ([]byte, error) {
	if !plain(n.Name) || !plain(n.User) || !plain(n.Group) || n.LinkTarget != "" || !ordinary(n.ModTime) || !ordinary(n.AccessTime) || !ordinary(n.ChangeTime) {
		node, err := json.Marshal(n)
		return append(text, node...), err
	}
	text = appendString(text, `{"name":`, n.Name)
	text = appendString(text, `,"type":`, n.Type)
	if n.Mode != 0 {
		text = strconv.AppendUint(append(text, `,"mode":`...), uint64(n.Mode), 10)
	}
	text = appendTime(text, `,"mtime":`, n.ModTime)
	text = appendTime(text, `,"atime":`, n.AccessTime)
	text = appendTime(text, `,"ctime":`, n.ChangeTime)
	text = strconv.AppendUint(append(text, `,"uid":`...), uint64(n.UID), 10)
	text = strconv.AppendUint(append(text, `,"gid":`...), uint64(n.GID), 10)
	if n.User != "" {
		text = appendString(text, `,"user":`, n.User)
	}
	if n.Group != "" {
		text = appendString(text, `,"group":`, n.Group)
	}
	text = appendNumber(text, `,"inode":`, n.Inode)
	text = appendNumber(text, `,"device_id":`, n.DeviceID)
	text = appendNumber(text, `,"size":`, n.Size)
	text = appendNumber(text, `,"links":`, n.Links)
	if len(n.Xattrs) > 0 {
		text = appendXattrs(text, n.Xattrs)
	}
	text = appendNumber(text, `,"device":`, n.Device)
	text = appendContent(text, n.Content)
	if n.Subtree != nil {
		text = appendID(append(text, `,"subtree":`...), n.Subtree)
	}
	return append(text, '}'), nil
}

func appendContent(text []byte, content []format.ID) []byte {
	if content == nil {
		return append(text, `,"content":null`...)
	}
	text = append(text, `,"content":[`...)
	for i := range content {
		if i > 0 {
			text = append(text, ',')
		}
		text = appendID(text, &content[i])
	}
	return append(text, ']')
}

func appendXattrs(text []byte, xattrs []format.Xattr) []byte {
	text = append(text, `,"extended_attributes":[`...)
	for i, x := range xattrs {
		if i > 0 {
			text = append(text, ',')
		}
		name, _ := json.Marshal(x.Name) // of a string
		text = append(append(text, `{"name":`...), name...)
		if x.Value == nil {
			text = append(text, `,"value":null}`...)
			continue
		}
		text = append(base64.StdEncoding.AppendEncode(append(text, `,"value":"`...), x.Value), `"}`...)
	}
	return append(text, ']')
}

func appendID(text []byte, id *format.ID) []byte {
	return append(hex.AppendEncode(append(text, '"'), id[:]), '"')
}

func appendNumber(text []byte, key string, n uint64) []byte {
	if n == 0 {
		return text
	}
	return strconv.AppendUint(append(text, key...), n, 10)
}

func appendString(text []byte, key, s string) []byte {
	return append(append(append(append(text, key...), '"'), s...), '"')
}

func appendTime(text []byte, key string, t time.Time) []byte {
	return append(t.AppendFormat(append(append(text, key...), '"'), time.RFC3339Nano), '"')
}

// ordinary tells whether the time is encoded without being moved, in a zone that JSON can hold.
func ordinary(t time.Time) bool {
	_, offset := t.Zone()
	y := t.UTC().Year()
	return y > 1 && y < 9998 && offset%60 == 0 && offset > -23*3600 && offset < 23*3600
}

// plain tells whether the string stands in quotes as it is, both for Go and for JSON.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c >= utf8.RuneSelf-1 || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			return false
		}
	}
	return true
}
