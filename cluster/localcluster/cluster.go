//go:build unix

package localcluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/davit-project/davit/cluster"
)

// Options of a cluster. Nil and zero are ready to use.
type Options struct {
	// Agent is the path of a program that answers to the names davit and kando; it comes first in the PATH of pods. Default none.
	Agent string
	// Programs are more programs that pods find in their PATH: a name and the path it stands for. Default none.
	Programs map[string]string
	// Env is the environment every pod begins with. Default PATH, HOME, LANG, TMPDIR, TZ and USER of the host, where set. Without PATH,
	// that of the host is added.
	Env map[string]string
	// Grace is how long processes have to end after they were asked to, before they are killed. Default 5s.
	Grace time.Duration
	// Logger says what is started and ended. Default none.
	Logger *slog.Logger
}

// Cluster is a folder of objects and pods.
type Cluster struct {
	dir  string
	opts Options
	log  *slog.Logger
}

var (
	_ cluster.Executor  = (*Cluster)(nil)
	_ cluster.PodRunner = (*Cluster)(nil)
	_ cluster.Scaler    = (*Cluster)(nil)
	_ cluster.Objects   = (*Cluster)(nil)
	_ cluster.PodLister = (*Cluster)(nil)
	_ cluster.Sweeper   = (*Cluster)(nil)
)

// Open opens a folder, made when absent. Pods that an earlier host started and that still run are found; what workloads lack is started.
func Open(ctx context.Context, dir string, opts *Options) (*Cluster, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	c := &Cluster{dir: abs}
	if opts != nil {
		c.opts = *opts
	}
	if c.opts.Grace <= 0 {
		c.opts.Grace = 5 * time.Second
	}
	if c.log = c.opts.Logger; c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	if c.opts.Env == nil {
		c.opts.Env = map[string]string{}
		for _, name := range []string{"PATH", "HOME", "LANG", "TMPDIR", "TZ", "USER"} {
			if v, ok := os.LookupEnv(name); ok {
				c.opts.Env[name] = v
			}
		}
	}
	c.opts.Env = maps.Clone(c.opts.Env)
	if c.opts.Env["PATH"] == "" { // without one, not even the supervisor finds its tools
		c.opts.Env["PATH"] = cmp.Or(os.Getenv("PATH"), "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
	}
	for _, sub := range []string{"objects", "claims", "pods", "bin", "locks", "trash"} {
		if err := os.MkdirAll(filepath.Join(abs, sub), 0o700); err != nil {
			return nil, fmt.Errorf("open local cluster %q: %w", dir, err)
		}
	}
	if err := c.linkPrograms(); err != nil {
		return nil, fmt.Errorf("open local cluster %q: %w", dir, err)
	}
	if err := c.emptyTrash(); err != nil {
		return nil, fmt.Errorf("open local cluster %q: %w", dir, err)
	}
	if err := c.dropUnmade(); err != nil {
		return nil, fmt.Errorf("open local cluster %q: %w", dir, err)
	}
	return c, c.reconcileAll(ctx)
}

// emptyTrash removes what a host that died was removing.
func (c *Cluster) emptyTrash() error {
	entries, err := os.ReadDir(filepath.Join(c.dir, "trash"))
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		errs = append(errs, removeAll(filepath.Join(c.dir, "trash", e.Name())))
	}
	return errors.Join(errs...)
}

// dropUnmade removes the folders of pods that a host died over before they were made: nobody else knows of them, and a profile may be there.
func (c *Cluster) dropUnmade() error {
	folders, err := fs.Glob(os.DirFS(filepath.Join(c.dir, "pods")), "*/*")
	if err != nil {
		return err
	}
	var errs []error
	for _, folder := range folders {
		dir := filepath.Join(c.dir, "pods", folder)
		if _, err := readPod(dir); !errors.Is(err, cluster.ErrNotFound) {
			continue
		}
		lock, err := tryLock(filepath.Join(dir, "lock"), os.O_CREATE)
		if err != nil || lock == nil {
			continue // another host makes or removes it
		}
		if _, err := readPod(dir); errors.Is(err, cluster.ErrNotFound) {
			errs = append(errs, c.trash(dir))
		}
		errs = append(errs, lock.Close())
	}
	return errors.Join(errs...)
}

// linkPrograms fills the folder that comes first in the PATH of pods.
func (c *Cluster) linkPrograms() error {
	programs := map[string]string{}
	if c.opts.Agent != "" {
		programs["davit"], programs["kando"] = c.opts.Agent, c.opts.Agent
	}
	for name, path := range c.opts.Programs {
		programs[name] = path
	}
	for name, path := range programs {
		if name != filepath.Base(name) || strings.HasPrefix(name, ".") {
			return fmt.Errorf("program name %q is no file name", name)
		}
		path, err := filepath.Abs(path)
		if err != nil {
			return err
		}
		if info, err := os.Stat(path); err != nil {
			return fmt.Errorf("program %q: %w", name, err)
		} else if info.IsDir() || info.Mode()&0o111 == 0 {
			return fmt.Errorf("program %q: %q cannot be executed", name, path)
		}
		tmp := filepath.Join(c.dir, "bin", "."+name+".tmp")
		if err := os.Remove(tmp); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		if err := os.Symlink(path, tmp); err != nil {
			return err
		}
		if err := os.Rename(tmp, filepath.Join(c.dir, "bin", name)); err != nil {
			return err
		}
	}
	return nil
}

// Down ends every pod of the cluster and verifies that it ended. Objects and claims stay. What could not be ended is in the error.
func (c *Cluster) Down(ctx context.Context) error {
	pods, err := c.allPods()
	if err != nil {
		return err
	}
	var errs []error
	for _, p := range pods {
		errs = append(errs, c.remove(ctx, p))
	}
	return errors.Join(errs...)
}
