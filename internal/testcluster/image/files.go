//go:build unix

package image

import (
	"cmp"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
)

// check returns all files of the spec, its own over those that every image has, by path.
func check(spec Spec) ([]File, error) {
	if i := strings.LastIndexByte(spec.Name, ':'); i <= 0 || i == len(spec.Name)-1 {
		return nil, errors.New("the name needs a tag: localhost/name:1")
	}
	own, err := base(spec.User)
	if err != nil {
		return nil, err
	}
	byPath := map[string]File{}
	for _, f := range slices.Concat(own, spec.Files) {
		if !path.IsAbs(f.Path) || path.Clean(f.Path) == "/" {
			return nil, fmt.Errorf("file %q: the path is not absolute", f.Path)
		}
		if err := f.check(); err != nil {
			return nil, fmt.Errorf("file %q: %w", f.Path, err)
		}
		f.Path = merged(strings.TrimPrefix(path.Clean(f.Path), "/"))
		byPath[f.Path] = f
	}
	files := make([]File, 0, len(byPath))
	for _, f := range byPath {
		files = append(files, f)
	}
	slices.SortFunc(files, func(a, b File) int { return cmp.Compare(a.Path, b.Path) })
	return files, nil
}

func (f *File) check() error {
	given := 0
	for _, set := range []bool{f.Source != "", f.Data != nil, f.Link != "", f.Dir} {
		if set {
			given++
		}
	}
	if given > 1 {
		return errors.New("more than one of Source, Data, Link and Dir is given")
	}
	if f.Mode == 0 {
		f.Mode = 0o644
		if f.Dir || f.Source != "" {
			f.Mode = 0o755
		}
	}
	return nil
}

// base is what every image has. A folder of programs and libraries is one below /usr, as in every Debian since 12.
func base(user string) ([]File, error) {
	passwd := "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n"
	group := "root:x:0:\nnogroup:x:65534:\n"
	uid, gid, err := ids(user)
	if err != nil {
		return nil, err
	}
	if uid != 0 {
		passwd += fmt.Sprintf("app:x:%d:%d:app:/:/bin/sh\n", uid, gid)
	}
	if gid != 0 {
		group += fmt.Sprintf("app:x:%d:\n", gid)
	}
	files := []File{
		{Path: "/etc/passwd", Data: []byte(passwd)},
		{Path: "/etc/group", Data: []byte(group)},
		{Path: "/etc/nsswitch.conf", Data: []byte("passwd: files\ngroup: files\nhosts: files dns\n")},
		{Path: "/var/run", Link: "/run"},
		{Path: "/root", Dir: true, Mode: 0o700},
		{Path: "/tmp", Dir: true, Mode: 0o1777},
		{Path: "/var/tmp", Dir: true, Mode: 0o1777},
	}
	for _, dir := range []string{"dev", "etc", "proc", "run", "sys", "usr", "var", "var/lib"} {
		files = append(files, File{Path: "/" + dir, Dir: true})
	}
	for _, dir := range usrFolders {
		files = append(files, File{Path: "/usr/" + dir, Dir: true})
	}
	return files, nil
}

// ids splits the user of a spec. The group is the user's number where none is given.
func ids(user string) (uid, gid int, err error) {
	if user == "" {
		return 0, 0, nil
	}
	u, g, both := strings.Cut(user, ":")
	if uid, err = strconv.Atoi(u); err == nil {
		if gid = uid; both {
			gid, err = strconv.Atoi(g)
		}
	}
	if err != nil || uid < 0 || gid < 0 {
		return 0, 0, fmt.Errorf("user %q is not a number, or two with a colon", user)
	}
	return uid, gid, nil
}

// usrFolders are those that / has as links to /usr.
var usrFolders = []string{"bin", "lib", "lib64", "sbin"}

// merged moves a path to where it is since these folders are links.
func merged(name string) string {
	first, _, _ := strings.Cut(name, "/")
	if slices.Contains(usrFolders, first) {
		return "usr/" + name
	}
	return name
}
