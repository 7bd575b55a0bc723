package data

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/davit-project/davit/location/repository"
)

// listScript lists a folder. Where pods are processes of this machine, DAVIT_ROOT is the root of what they see. $1 is the folder, $2 a random word that begins each record. A record ends where the next one begins, for names may have line feeds in them:
//
//	MARK now SECONDS            the time before anything was looked at
//	MARK nostat                 there is no find or no stat; nothing follows
//	MARK e MODE UID GID LINKS SIZE INODE DEVICE MAJOR MINOR MTIME CTIME USER GROUP NAME
//	MARK d NAME                 a folder that cannot be read
//	MARK l NAME/MARK/QUOTED     a symbolic link: its name, and how stat shows name and target
//	MARK end                    the last one
const listScript = `cd "${DAVIT_ROOT-}$1" || exit 3
mark=$2
export LC_ALL=C QUOTING_STYLE=literal
echo "$mark now $(date +%s)"
if ! command -v stat >/dev/null || ! command -v find >/dev/null; then
echo "$mark nostat"
echo "$mark end"
exit 0
fi
find . -exec stat -c "$mark e %f %u %g %h %s %i %d %t %T %Y %Z %U %G %n" {} +
find . -type d -exec sh -c 'm=$1; shift; for d; do if [ ! -r "$d" ] || [ ! -x "$d" ]; then echo "$m d $d"; fi; done' sh "$mark" {} +
find . -type l -exec stat -c "$mark l %n/$mark/%N" {} +
echo "$mark end"
`

// Bounds of a listing. The memory it takes is about 150 bytes and the name for each file.
const (
	maxListed  = 4 << 20
	maxRecord  = 32 << 10
	maxTargets = 256 << 20
)

// racy is how close to the listing a file may have changed: times have whole seconds, so that a later change in the same second would not show.
const racy = 2

var errListing = fmt.Errorf("%w: the listing of the container is not what a folder can be", repository.ErrSource)

// listed is a file or folder of the container.
type listed struct {
	name, target  string
	user, group   string
	mode          fs.FileMode
	uid, gid      uint32
	links         uint64
	size          int64
	inode, device uint64
	rdev          uint64
	mtime, ctime  int64
	// fresh is true for one that may change again without its times showing it.
	fresh bool
	// denied is true for a folder that cannot be read.
	denied   bool
	children []*listed
}

// entry describes it to the repository.
func (l *listed) entry() *repository.Entry {
	e := &repository.Entry{
		Name: l.name, Mode: l.mode, ModTime: time.Unix(l.mtime, 0), AccessTime: time.Unix(l.mtime, 0), ChangeTime: time.Unix(l.ctime, 0),
		UID: l.uid, GID: l.gid, User: l.user, Group: l.group, Inode: l.inode, DeviceID: l.device, Links: l.links, Size: l.size, Target: l.target, Device: l.rdev,
	}
	if l.fresh { // the next listing has another time, so that the file is read once more
		e.ChangeTime = e.ChangeTime.Add(time.Nanosecond)
	}
	return e
}

// child finds an entry of a folder whose children are sorted.
func (l *listed) child(name string) *listed {
	i, ok := slices.BinarySearchFunc(l.children, name, func(c *listed, name string) int { return cmp.Compare(c.name, name) })
	if !ok {
		return nil
	}
	return l.children[i]
}

// listing is being read.
type listing struct {
	mark    string
	root    *listed
	folders map[string]*listed
	count   int
	targets int
	now     int64
	noStat  bool
	ended   bool
	words   map[string]string
}

func newListing(mark string) *listing {
	return &listing{mark: mark + " ", folders: map[string]*listed{}, words: map[string]string{}}
}

// read reads all records.
func (l *listing) read(r io.Reader) error {
	in := bufio.NewReaderSize(r, 64<<10)
	var record []byte
	begun := false
	for {
		line, err := readLine(in, maxRecord)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		last := errors.Is(err, io.EOF)
		rest, begins := bytes.CutPrefix(line, []byte(l.mark))
		if begun && (begins || last && len(line) == 0) {
			if err := l.record(record); err != nil {
				return err
			}
			begun = false
		}
		switch {
		case begins:
			record, begun = append(record[:0], rest...), true
		case begun && len(record)+len(line) < maxRecord:
			record = append(append(record, '\n'), line...)
		case len(line) > 0 || !last:
			return fmt.Errorf("%w: a record is too long, or does not begin as one", errListing)
		}
		if last {
			return l.finish()
		}
	}
}

// readLine reads a line without its end. The last one has an end too: what stands behind it is an empty one with io.EOF.
func readLine(in *bufio.Reader, most int) ([]byte, error) {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		if len(line)+len(part) > most {
			return nil, fmt.Errorf("%w: a line of more than %d bytes", errListing, most)
		}
		line = append(line, part...)
		switch {
		case err == nil:
			return line[:len(line)-1], nil
		case errors.Is(err, bufio.ErrBufferFull):
		default:
			return line, err
		}
	}
}

func (l *listing) record(record []byte) error {
	kind, text, _ := strings.Cut(string(record), " ")
	if l.ended {
		return fmt.Errorf("%w: it goes on behind its end", errListing)
	}
	switch kind {
	case "now":
		var err error
		l.now, err = strconv.ParseInt(text, 10, 64)
		if err != nil {
			return fmt.Errorf("%w: its time is no number", errListing)
		}
	case "nostat":
		l.noStat = true
	case "e":
		return l.add(text)
	case "d":
		if f := l.folders[text]; f != nil {
			f.denied = true
		}
	case "l":
		return l.link(text)
	case "end":
		l.ended = true
	default:
		return fmt.Errorf("%w: a record of an unknown kind", errListing)
	}
	return nil
}

// statFields is how many fields stand before the name.
const statFields = 13

func (l *listing) add(text string) error {
	fields := strings.SplitN(text, " ", statFields+1)
	if len(fields) != statFields+1 {
		return fmt.Errorf("%w: an entry with %d fields", errListing, len(fields))
	}
	n := numbers{}
	mode := n.parse(fields[0], 16)
	e := &listed{
		mode: modeOf(uint32(mode)), //nolint:gosec // the bits that count
		uid:  n.small(fields[1]), gid: n.small(fields[2]), links: n.parse(fields[3], 10), size: n.signed(fields[4]),
		inode: n.parse(fields[5], 10), device: n.parse(fields[6], 10), mtime: n.signed(fields[9]), ctime: n.signed(fields[10]),
		user: l.word(fields[11]), group: l.word(fields[12]),
	}
	if e.mode&fs.ModeDevice != 0 {
		e.rdev = deviceOf(uint32(n.parse(fields[7], 16)), uint32(n.parse(fields[8], 16))) //nolint:gosec // as large as a device's number is
	}
	if n.err != nil || e.size < 0 {
		return fmt.Errorf("%w: an entry without its numbers", errListing)
	}
	e.fresh = l.now == 0 || e.ctime >= l.now-racy
	if !e.mode.IsRegular() {
		e.size = 0
	}
	return l.place(fields[statFields], e)
}

// word keeps one copy of a name of a user or group. UNKNOWN is what stat calls one without a name.
func (l *listing) word(w string) string {
	if w == "UNKNOWN" || len(w) > 256 || len(l.words) > 1<<16 {
		return ""
	}
	if kept, ok := l.words[w]; ok {
		return kept
	}
	w = strings.Clone(w)
	l.words[w] = w
	return w
}

// place puts an entry where its name, "." or "./a/b", says. Its folder comes before it.
func (l *listing) place(name string, e *listed) error {
	if l.count++; l.count > maxListed {
		return fmt.Errorf("%w: more than %d files: use davit in the container, or a pod that mounts the volume", errListing, maxListed)
	}
	if name == "." {
		if l.root != nil || !e.mode.IsDir() {
			return fmt.Errorf("%w: two roots, or one that is no folder", errListing)
		}
		e.name = "."
		l.root, l.folders["."] = e, e
		return nil
	}
	rest, ok := strings.CutPrefix(name, "./")
	if !ok || !fs.ValidPath(strings.ToValidUTF8(rest, "?")) || strings.ContainsRune(rest, 0) {
		return fmt.Errorf("%w: the name %.100q is none of a file below the folder", errListing, name)
	}
	above, own := path.Split(name)
	folder := l.folders[strings.TrimSuffix(above, "/")]
	if folder == nil {
		return fmt.Errorf("%w: %.100q is in no folder that was listed before it", errListing, name)
	}
	e.name = strings.Clone(own)
	folder.children = append(folder.children, e)
	if e.mode.IsDir() {
		if l.folders[name] != nil {
			return fmt.Errorf("%w: folder %.100q stands twice in it", errListing, name)
		}
		l.folders[strings.Clone(name)] = e
	}
	return nil
}

// link sets the target of a symbolic link. GNU's stat shows "name -> target" here, that of busybox 'name' -> 'target'.
func (l *listing) link(text string) error {
	name, shown, ok := strings.Cut(text, "/"+strings.TrimSpace(l.mark)+"/")
	if !ok {
		return fmt.Errorf("%w: a link without a target", errListing)
	}
	target, plain := strings.CutPrefix(shown, name+" -> ")
	if !plain {
		target, ok = strings.CutPrefix(shown, "'"+name+"' -> '")
		if !ok || !strings.HasSuffix(target, "'") {
			return fmt.Errorf("%w: the target of link %.100q cannot be read", errListing, name)
		}
		target = strings.TrimSuffix(target, "'")
	}
	if l.targets += len(target); l.targets > maxTargets {
		return fmt.Errorf("%w: too many links", errListing)
	}
	above, own := path.Split(name)
	if folder := l.folders[strings.TrimSuffix(above, "/")]; folder != nil {
		for _, c := range slices.Backward(folder.children) {
			if c.name == own && c.mode&fs.ModeSymlink != 0 {
				c.target = strings.Clone(target)
				break
			}
		}
	}
	return nil
}

// finish sorts the folders and leaves out links that went away between the two looks.
func (l *listing) finish() error {
	if !l.ended {
		return fmt.Errorf("%w: it has no end", errListing)
	}
	if l.noStat {
		return nil
	}
	if l.root == nil {
		return fmt.Errorf("%w: it has no root", errListing)
	}
	for _, f := range l.folders {
		f.children = slices.DeleteFunc(f.children, func(c *listed) bool { return c.mode&fs.ModeSymlink != 0 && c.target == "" })
		slices.SortFunc(f.children, func(a, b *listed) int { return cmp.Compare(a.name, b.name) })
		for i := 1; i < len(f.children); i++ {
			if f.children[i].name == f.children[i-1].name {
				return fmt.Errorf("%w: %.100q stands twice in a folder", errListing, f.children[i].name)
			}
		}
	}
	l.folders, l.words = nil, nil
	return nil
}

// numbers keeps the first error of several texts.
type numbers struct{ err error }

func (n *numbers) parse(text string, base int) uint64 {
	v, err := strconv.ParseUint(text, base, 64)
	n.err = cmp.Or(n.err, err)
	return v
}

func (n *numbers) signed(text string) int64 {
	v, err := strconv.ParseInt(text, 10, 64)
	n.err = cmp.Or(n.err, err)
	return v
}

func (n *numbers) small(text string) uint32 {
	v, err := strconv.ParseUint(text, 10, 32)
	n.err = cmp.Or(n.err, err)
	return uint32(v)
}

// modeOf makes a mode of the one that stat has.
func modeOf(m uint32) fs.FileMode {
	mode := fs.FileMode(m & 0o777)
	if m&0o4000 != 0 {
		mode |= fs.ModeSetuid
	}
	if m&0o2000 != 0 {
		mode |= fs.ModeSetgid
	}
	if m&0o1000 != 0 {
		mode |= fs.ModeSticky
	}
	const typeBits, typeShift = 0o170000, 12
	types := map[uint32]fs.FileMode{
		0o10: 0, 0o4: fs.ModeDir, 0o12: fs.ModeSymlink, 0o6: fs.ModeDevice, 0o2: fs.ModeDevice | fs.ModeCharDevice, 0o1: fs.ModeNamedPipe, 0o14: fs.ModeSocket,
	}
	kind, ok := types[m&typeBits>>typeShift]
	if !ok {
		kind = fs.ModeIrregular
	}
	return mode | kind
}

// deviceOf is the number of a device as Linux combines it.
func deviceOf(major, minor uint32) uint64 {
	const majorLow, minorLow = 0xfff, 0xff
	M, m := uint64(major), uint64(minor)
	return M&majorLow<<8 | M&^majorLow<<32 | m&minorLow | m&^minorLow<<12
}

// escaped is a name as printf %b takes it: what is sent through the API has to be text.
func escaped(name string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._/-+=:,@ "
	var b strings.Builder
	for i := range len(name) {
		if c := name[i]; strings.IndexByte(plain, c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, `\0%03o`, c)
		}
	}
	return b.String()
}

// markOf makes the word that begins records from random bytes.
func markOf(random []byte) string { return "davit" + hex.EncodeToString(random) }
