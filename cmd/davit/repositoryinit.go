package main

import (
	"context"
	"encoding/json"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/davit-project/davit/location"
	"github.com/davit-project/davit/location/repository"
)

func (c *repositoryCall) initCommand() *cobra.Command {
	var chunk int
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Make a repository",
		Long: `Makes a repository. Its password cannot be recovered: who loses it loses what is in there.

` + repositoryCodes,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if c.defaultKey {
				return usageError("--allow-default-key is for repositories that are there: a new one needs a password of its own")
			}
			return c.withBucket(cmd.Context(), "no repository was made", func(ctx context.Context, b *location.Bucket) error {
				password, err := c.newPassword(c.passwordFile, passwordEnv)
				if err != nil {
					return err
				}
				o := c.options()
				o.ChunkSize = chunk << 10
				r, err := repository.Init(ctx, b, password, o)
				if err != nil {
					return err
				}
				if c.json {
					return c.printJSON(map[string]any{"type": "initialized", "id": r.ID(), "version": r.Version()})
				}
				_, err = fmt.Fprintf(c.stdout, "made repository %.10s, version %d of the format; keep its password: without it nothing can be restored\n", r.ID(), r.Version())
				return err
			})
		},
	}
	cmd.Flags().IntVar(&chunk, "chunk-size", repository.DefaultChunkSize>>10, "average size of chunks near the beginning of a file, in `KIB`: a power of two from 16 to 1024")
	return cmd
}

func (c *repositoryCall) printJSON(v any) error {
	enc := json.NewEncoder(c.stdout)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

func (c *repositoryCall) keyCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "key",
		Short: "List, add and remove passwords of a repository",
		Args:  cobra.NoArgs,
	}
	list := &cobra.Command{
		Use: "list", Short: "List the keys; each is a password that opens the repository", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.with(cmd.Context(), "nothing was changed", c.listKeys)
		},
	}
	add := &cobra.Command{
		Use: "add", Short: "Let another password open the repository", Args: cobra.NoArgs,
		Long: "Lets another password open the repository: that of --new-password-file, else $" + newPasswordEnv + ", else it is asked for on the terminal.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.with(cmd.Context(), "the password was not added, or is listed by davit repository key list", func(ctx context.Context, r *repository.Repository) error {
				password, err := c.newPassword(file, newPasswordEnv)
				if err != nil {
					return err
				}
				id, err := r.AddKey(ctx, password)
				if err != nil {
					return err
				}
				if c.json {
					return c.printJSON(map[string]any{"type": "key", "id": id})
				}
				_, err = fmt.Fprintf(c.stdout, "added key %.8s\n", id)
				return err
			})
		},
	}
	add.Flags().StringVar(&file, "new-password-file", "", "`FILE` with the new password; white space around it is left out")
	remove := &cobra.Command{
		Use: "remove ID", Short: "Remove a key, so that its password opens the repository no more", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd.Context(), "the key is there, or is gone: see davit repository key list", func(ctx context.Context, r *repository.Repository) error {
				return c.removeKey(ctx, r, args[0])
			})
		},
	}
	cmd.AddCommand(list, add, remove)
	return cmd
}

// removeKey removes the one key whose id begins so.
func (c *repositoryCall) removeKey(ctx context.Context, r *repository.Repository, prefix string) error {
	keys, err := r.Keys(ctx)
	if err != nil {
		return err
	}
	var ids []string
	for _, k := range keys {
		if prefix != "" && len(prefix) <= len(k.ID) && k.ID[:len(prefix)] == prefix {
			ids = append(ids, k.ID)
		}
	}
	if len(ids) != 1 {
		return usageError("%d keys of the repository begin with %q: see davit repository key list", len(ids), prefix)
	}
	if err := r.RemoveKey(ctx, ids[0]); err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.stderr, "removed key %.8s\n", ids[0])
	return err
}

// listedKey is a key as restic prints it.
type listedKey struct {
	Current bool      `json:"current"`
	ID      string    `json:"id"`
	User    string    `json:"userName"`
	Host    string    `json:"hostName"`
	Created time.Time `json:"created"`
}

func (c *repositoryCall) listKeys(ctx context.Context, r *repository.Repository) error {
	keys, err := r.Keys(ctx)
	if err != nil {
		return err
	}
	if c.json {
		all := make([]listedKey, len(keys))
		for i, k := range keys {
			all[i] = listedKey{k.Current, k.ID, k.User, k.Host, k.Created}
		}
		return c.printJSON(all)
	}
	table := tabwriter.NewWriter(c.stdout, 0, 8, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "ID\tUSER\tHOST\tCREATED") // Flush tells
	for _, k := range keys {
		mark := ""
		if k.Current {
			mark = "*"
		}
		_, _ = fmt.Fprintf(table, "%.8s%s\t%s\t%s\t%s\n", k.ID, mark, oneLine(k.User), oneLine(k.Host), k.Created.UTC().Format(time.RFC3339))
	}
	return table.Flush()
}

func (c *repositoryCall) unlockCommand() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "unlock",
		Short: "Remove locks whose owners are gone",
		Long: `Removes locks whose owners are gone: those older than 30 minutes, as an owner refreshes its lock every 5, and those of processes of this host that no longer run.
They are no obstacle as they are: this only tidies up.

` + repositoryCodes,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.with(cmd.Context(), "locks that were not removed are still there", func(ctx context.Context, r *repository.Repository) error {
				n, err := r.Unlock(ctx, all)
				if err != nil {
					return err
				}
				if c.json {
					return c.printJSON(map[string]any{"type": "unlocked", "removed": n})
				}
				_, err = fmt.Fprintf(c.stdout, "removed %d locks\n", n)
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&all, "remove-all", false, "remove every lock: only while nobody works on the repository")
	return cmd
}
