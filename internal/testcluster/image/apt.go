//go:build unix

package image

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// scriptOnly are packages that others depend on for their maintainer scripts, which do not run.
var scriptOnly = []string{
	"adduser", "debconf", "dpkg", "init-system-helpers", "lsb-base", "passwd", "sensible-utils", "sysvinit-utils", "ucf", "usrmerge",
}

// deb is a package's file, as apt names it.
type deb struct {
	file, sum string
}

// fetch returns the packages of the spec, by name, once they are in the cache. Lists that are missing or too old are updated once. Where nothing can be
// downloaded, the packages of the last time do.
func (c *cache) fetch(ctx context.Context, spec Spec) ([]deb, error) {
	if len(spec.Packages) == 0 {
		return nil, nil
	}
	debs, err := c.tryFetch(ctx, spec)
	if err == nil || ctx.Err() != nil {
		return debs, err
	}
	if updated := c.update(ctx, spec); updated != nil {
		if debs := c.recall(spec); debs != nil {
			return debs, nil
		}
		return nil, errors.Join(err, updated)
	}
	return c.tryFetch(ctx, spec)
}

// update brings the lists of packages up to date.
func (c *cache) update(ctx context.Context, spec Spec) error {
	_, err := run(ctx, "apt-get", "-q", "update")
	if err != nil || spec.Suite == "" {
		return err
	}
	of, err := c.suiteArgs(ctx, spec.Suite)
	if err != nil {
		return err
	}
	_, err = run(ctx, "apt-get", append(of, "-q", "-o", "APT::Sandbox::User=", "-o", "Acquire::Retries=3", "update")...)
	return err
}

// suiteArgs are those of a suite that is not the machine's: the same mirror, and lists in the cache.
func (c *cache) suiteArgs(ctx context.Context, suite string) ([]string, error) {
	out, err := run(ctx, "apt-get", "indextargets", "--format", "$(ORIGIN) $(COMPONENT) $(REPO_URI)", "Created-By: Packages")
	if err != nil {
		return nil, err
	}
	mirror := ""
	for line := range strings.Lines(string(out)) {
		if words := strings.Fields(line); len(words) == 3 && words[0] == "Debian" && words[1] == "main" && mirror == "" {
			mirror = words[2]
		}
	}
	if mirror == "" {
		return nil, errors.New("this machine has no sources of Debian, or no lists of them")
	}
	lists, sources := filepath.Join(c.dir, "state", "lists-"+suite), filepath.Join(c.dir, "state", suite+".list")
	if err := os.MkdirAll(filepath.Join(lists, "partial"), 0o700); err != nil {
		return nil, err
	}
	return []string{"-o", "Dir::Etc::sourcelist=" + sources, "-o", "Dir::Etc::sourceparts=/dev/null", "-o", "Dir::State::lists=" + lists},
		os.WriteFile(sources, []byte("deb "+mirror+" "+suite+" main\n"), 0o600)
}

// memory is the file that holds what a spec's packages were.
func (c *cache) memory(spec Spec) string {
	return filepath.Join(c.dir, "state", digest(fmt.Appendf(nil, "%q %q %q", spec.Packages, spec.Without, spec.Suite)))
}

// remember keeps what a spec's packages are. A failure costs a download.
func (c *cache) remember(spec Spec, debs []deb) {
	var text strings.Builder
	for _, d := range debs {
		fmt.Fprintln(&text, d.file, d.sum)
	}
	_ = os.WriteFile(c.memory(spec), []byte(text.String()), 0o600)
}

// recall returns what a spec's packages were the last time, if all of them are still there.
func (c *cache) recall(spec Spec) (debs []deb) {
	text, err := os.ReadFile(c.memory(spec))
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(text)) {
		file, sum, _ := strings.Cut(strings.TrimSpace(line), " ")
		debs = append(debs, deb{file, sum})
	}
	if missing, err := c.missing(debs); err != nil || missing {
		return nil
	}
	return debs
}

func (c *cache) tryFetch(ctx context.Context, spec Spec) ([]deb, error) {
	args, err := c.aptArgs(ctx, spec)
	if err != nil {
		return nil, err
	}
	// What is in the archives is not printed.
	out, err := run(ctx, "apt-get", append(args, "--print-uris", "-o", "Dir::Cache::archives=none")...)
	if err != nil {
		return nil, err
	}
	debs, err := parseURIs(out)
	if err != nil {
		return nil, err
	}
	missing, err := c.missing(debs)
	if err == nil && missing {
		if _, err = run(ctx, "apt-get", append(args, "--download-only", "-o", "Dir::Cache::archives=debs")...); err == nil {
			missing, err = c.missing(debs)
		}
	}
	switch {
	case err != nil:
		return nil, err
	case missing:
		return nil, errors.New("apt-get has downloaded other packages than it named")
	}
	c.remember(spec, debs)
	return debs, nil
}

// aptArgs is an installation into a system of which nothing is there but what is left out.
func (c *cache) aptArgs(ctx context.Context, spec Spec) ([]string, error) {
	arch, err := run(ctx, "dpkg", "--print-architecture")
	if err != nil {
		return nil, err
	}
	var status strings.Builder
	for _, name := range slices.Concat(scriptOnly, spec.Without) {
		if slices.Contains(spec.Packages, name) {
			continue
		}
		// Newer than any other, and good for dependencies on name:any too.
		fmt.Fprintf(&status, "Package: %s\nStatus: install ok installed\nVersion: 9999:1\nArchitecture: %s\nMulti-Arch: allowed\n"+
			"Maintainer: none\nDescription: left out\n\n", name, bytes.TrimSpace(arch))
	}
	state := filepath.Join(c.dir, "state")
	if err := errors.Join(os.MkdirAll(state, 0o700), os.MkdirAll(filepath.Join(c.dir, "none", "partial"), 0o700)); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(state, "status"), []byte(status.String()), 0o600); err != nil {
		return nil, err
	}
	args := []string{
		"-q", "-y", "--no-install-recommends",
		"-o", "Dir::State::status=" + filepath.Join(state, "status"),
		"-o", "Dir::State::extended_states=" + filepath.Join(state, "extended_states"),
		"-o", "Dir::Cache=" + c.dir, "-o", "Dir::Cache::pkgcache=", "-o", "Dir::Cache::srcpkgcache=",
		"-o", "Acquire::ForceHash=SHA256", "-o", "APT::Sandbox::User=", "-o", "Acquire::Retries=3",
	}
	if spec.Suite != "" {
		of, err := c.suiteArgs(ctx, spec.Suite)
		if err != nil {
			return nil, err
		}
		args = append(args, of...)
	}
	return append(append(args, "install"), spec.Packages...), nil
}

// parseURIs reads lines such as 'http://…' name_version_arch.deb 928188 SHA256:… among others.
func parseURIs(out []byte) ([]deb, error) {
	var debs []deb
	for line := range strings.Lines(string(out)) {
		if !strings.HasPrefix(line, "'") {
			continue
		}
		fields := strings.Fields(line)
		if len(fields) != 4 {
			return nil, fmt.Errorf("apt-get printed %q", line)
		}
		sum, ok := strings.CutPrefix(fields[3], "SHA256:")
		if !ok || strings.ContainsAny(fields[1], "/") {
			return nil, fmt.Errorf("apt-get printed %q", line)
		}
		debs = append(debs, deb{fields[1], sum})
	}
	if len(debs) == 0 {
		return nil, fmt.Errorf("apt-get named no package: %s", tail(out))
	}
	slices.SortFunc(debs, func(a, b deb) int { return cmp.Compare(a.file, b.file) })
	return debs, nil
}

// missing tells whether a package is not in the cache, and removes what is damaged.
func (c *cache) missing(debs []deb) (bool, error) {
	some := false
	for _, d := range debs {
		sum, err := sumFile(c.path(d))
		switch {
		case errors.Is(err, os.ErrNotExist):
			some = true
		case err != nil:
			return false, err
		case sum != d.sum:
			some = true
			if err := os.Remove(c.path(d)); err != nil {
				return false, err
			}
		}
	}
	return some, nil
}

func (c *cache) path(d deb) string { return filepath.Join(c.dir, "debs", d.file) }

// open streams the files of a package.
func (c *cache) open(ctx context.Context, d deb) (tarStream, error) {
	cmd := exec.CommandContext(ctx, "dpkg-deb", "--fsys-tarfile", c.path(d)) //nolint:gosec // a file of the cache
	s := &commandStream{cmd: cmd}
	cmd.Stderr = &s.complaint
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	s.ReadCloser = out
	return s, cmd.Start()
}

// commandStream is what a program writes. Close ends it, where it still runs.
type commandStream struct {
	io.ReadCloser
	cmd       *exec.Cmd
	complaint bytes.Buffer
}

func (s *commandStream) Close() error {
	_ = s.ReadCloser.Close() // a program that still writes fails then, and is reported
	if err := s.cmd.Wait(); err != nil {
		return fmt.Errorf("%s: %w: %s", s.cmd.Args[0], err, tail(s.complaint.Bytes()))
	}
	return nil
}

// run returns what a program prints.
func run(ctx context.Context, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive")
	out, err := cmd.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return nil, fmt.Errorf("%s: %w: %s; %s", name, err, tail(exit.Stderr), tail(out))
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w: images need a Debian, or one of its kin", name, err)
	}
	return out, nil
}

// tail is the end of what a program wrote, on one line.
func tail(text []byte) string {
	const most = 1000
	text = bytes.TrimSpace(text)
	return strings.ReplaceAll(string(text[max(0, len(text)-most):]), "\n", "; ")
}
