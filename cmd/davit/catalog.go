package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/davit-project/davit/internal/agent"
	"github.com/davit-project/davit/location"
	"github.com/davit-project/davit/location/catalog"
)

func (p *program) catalogCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "catalog",
		Short: "Show and restore what finished runs have left in a location, without their journals",
		Long: `Shows the manifests that runs with --catalog have left in a location, and restores from them with nothing but the location and its credential.

The location is that of --location, with the credential of the environment, or of the profile in --profile or $DAVIT_PROFILE_FILE.

Who can write to the location can change what a restore runs. Where that is not only you, give the restore the blueprint's digest (--digest) or the
blueprint (--blueprint).`,
		Args: cobra.NoArgs,
	}
	place := &agent.Place{Streams: p.streams()}
	place.AddFlags(cmd.PersistentFlags())
	cmd.SetFlagErrorFunc(agent.FlagError)
	cmd.AddCommand(p.catalogListCommand(place), p.catalogShowCommand(place), p.catalogRestoreCommand(place))
	return cmd
}

// catalogError gives an error of a location its exit code.
func catalogError(err error) error {
	if err == nil || errors.As(err, new(*exitError)) {
		return err
	}
	switch {
	case errors.Is(err, catalog.ErrAmbiguous):
		return &exitError{exitUsage, err}
	case errors.Is(err, catalog.ErrNotFound):
		return &exitError{exitNotFound, err}
	case errors.Is(err, catalog.ErrInvalid):
		return &exitError{exitCorrupt, err}
	}
	return &exitError{agent.ExitCode(err), err}
}

// withPlace opens the location of the flags and calls f.
func withPlace(ctx context.Context, place *agent.Place, f func(*location.Location, *location.Bucket) error) error {
	loc, err := place.Location()
	if err != nil {
		return err
	}
	b, err := location.Open(ctx, loc, place.Openers, nil)
	if err != nil {
		return err
	}
	return errors.Join(f(loc, b), b.Close())
}

func (p *program) catalogListCommand(place *agent.Place) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "ls",
		Short:   "List the manifests, the oldest first",
		Long:    "Lists the manifests, the oldest first. One that cannot be read is named on standard error.\n\nExit codes: 0 done, 1 failed, 2 wrong usage or profile, 4 a manifest is damaged.",
		Example: `  davit catalog ls --location s3://backups/prod`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return catalogError(withPlace(cmd.Context(), place, func(_ *location.Location, b *location.Bucket) error {
				return p.catalogList(cmd.Context(), b, asJSON)
			}))
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON object for each manifest, a line each: the manifest and its id")
	return cmd
}

// listed is a line of davit catalog ls --json.
type listed struct {
	ID string `json:"id"`
	*catalog.Manifest
}

func (p *program) catalogList(ctx context.Context, b *location.Bucket, asJSON bool) error {
	table := tabwriter.NewWriter(p.stdout, 0, 8, 2, ' ', 0)
	lines := json.NewEncoder(p.stdout)
	lines.SetEscapeHTML(false)
	var bad int
	if !asJSON {
		_, _ = fmt.Fprintln(table, "ID\tACTION\tBLUEPRINT\tSUBJECT\tARTIFACTS") // Flush tells
	}
	for e, err := range catalog.List(ctx, b) {
		if err != nil {
			return err
		}
		m, err := catalog.Load(ctx, b, e.ID)
		if errors.Is(err, catalog.ErrNotFound) {
			continue // it was removed just now
		}
		if errors.Is(err, catalog.ErrInvalid) || errors.Is(err, location.ErrCorrupt) {
			_, _ = fmt.Fprintf(p.stderr, "davit catalog ls: %s\n", printable(err.Error()))
			bad++
			continue
		}
		if err != nil {
			return err
		}
		if asJSON {
			err = lines.Encode(listed{e.ID, m})
		} else {
			_, err = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", e.ID, oneLine(m.Action), oneLine(m.Blueprint.Name), oneLine(subjectText(m.Subject)),
				oneLine(strings.Join(slices.Sorted(maps.Keys(m.Artifacts)), " ")))
		}
		if err != nil {
			return err
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if bad > 0 {
		return &exitError{exitCorrupt, fmt.Errorf("%d manifests cannot be used", bad)}
	}
	return nil
}

// subjectText names an object as flags do: kind/namespace/name.
func subjectText(o catalog.Object) string {
	kind := o.Kind
	if kind == "" {
		kind = o.Resource
	}
	parts := slices.DeleteFunc([]string{strings.ToLower(kind), o.Namespace, o.Name}, func(s string) bool { return s == "" })
	return strings.Join(parts, "/")
}

func (p *program) catalogShowCommand(place *agent.Place) *cobra.Command {
	var asJSON, recipe, check bool
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "Show a manifest",
		Long: `Shows a manifest: that of an id as davit catalog ls prints it, of a run, or of the beginning of either that no other has.

Exit codes: 0 done, 1 failed, 2 wrong usage or profile, 3 there is no such manifest, 4 it is damaged, or with --check: what it names is gone or is not what it was.`,
		Example: `  davit catalog show backup-1x2y3z4w --location s3://backups/prod --check`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return catalogError(withPlace(cmd.Context(), place, func(_ *location.Location, b *location.Bucket) error {
				m, err := findManifest(cmd.Context(), b, args[0])
				if err != nil {
					return err
				}
				if err := p.showManifest(m, asJSON, recipe); err != nil || !check {
					return err
				}
				if err := m.Verify(cmd.Context(), b); err != nil {
					return &exitError{exitCorrupt, err}
				}
				return nil
			}))
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the manifest as one JSON object")
	cmd.Flags().BoolVar(&recipe, "blueprint", false, "print the blueprint alone, as a file that --blueprint takes")
	cmd.Flags().BoolVar(&check, "check", false, "compare the sizes and hashes of the objects that artifacts name with what the location has recorded now; the objects are not read")
	cmd.MarkFlagsMutuallyExclusive("json", "blueprint")
	return cmd
}

func findManifest(ctx context.Context, b *location.Bucket, text string) (*catalog.Manifest, error) {
	e, err := catalog.Find(ctx, b, text)
	if err != nil {
		return nil, err
	}
	return catalog.Load(ctx, b, e.ID)
}

func (p *program) showManifest(m *catalog.Manifest, asJSON, recipe bool) error {
	if recipe {
		_, err := fmt.Fprintf(p.stdout, "%s\n", m.Blueprint.Document)
		return err
	}
	if asJSON {
		enc := json.NewEncoder(p.stdout)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		return enc.Encode(listed{m.ID(), m})
	}
	var b strings.Builder
	line := func(what, format string, args ...any) {
		fmt.Fprintf(&b, "%-10s %s\n", what, oneLine(fmt.Sprintf(format, args...)))
	}
	line("id", "%s", m.ID())
	line("action", "%s of blueprint %s, sha256:%s", m.Action, m.Blueprint.Name, m.Blueprint.SHA256)
	line("subject", "%s", subjectText(m.Subject))
	line("started", "%s", m.Started.Format(time.RFC3339))
	line("ended", "%s, by %s", m.Ended.Format(time.RFC3339), m.Davit)
	for _, key := range slices.Sorted(maps.Keys(m.Options)) {
		line("option", "%s=%s", key, m.Options[key])
	}
	for _, name := range slices.Sorted(maps.Keys(m.Artifacts)) {
		a := m.Artifacts[name]
		text := name
		for _, key := range slices.Sorted(maps.Keys(a.KeyValue)) {
			text += " " + key + "=" + a.KeyValue[key]
		}
		line("artifact", "%s %s", text, a.KopiaSnapshot)
	}
	for _, c := range m.Contents {
		line("object", "%s  %s  sha256:%s", c.Path, size(c.Size), c.SHA256)
	}
	for _, what := range m.Withheld {
		line("withheld", "%s, which contains a secret", what)
	}
	_, err := io.WriteString(p.stdout, b.String())
	return err
}
