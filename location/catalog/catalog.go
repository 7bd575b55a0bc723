package catalog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/davit-project/davit/location"
)

const (
	// Prefix is where manifests are, below the location's own prefix.
	Prefix = "davit-catalog"
	ending = ".json"
)

// Entry is what the name of a manifest tells of it.
type Entry struct {
	// ID is the whole of it: TIME-RUN-N.
	ID string
	// Started is when the run began, to the second.
	Started time.Time
	// Run is the run's id, Index the position of the action in the run.
	Run   string
	Index int
}

// parseID reads a manifest's id.
func parseID(id string) (Entry, bool) {
	parts := idForm.FindStringSubmatch(id)
	if parts == nil {
		return Entry{}, false
	}
	started, err := time.Parse(timeForm, parts[1])
	if err != nil {
		return Entry{}, false
	}
	index, err := strconv.Atoi(parts[3])
	return Entry{ID: id, Started: started, Run: parts[2], Index: index}, err == nil
}

// Save stores the manifest and reads it back. It sets the fields Format and Blueprint.SHA256. A manifest that is there already and says the same is fine: a
// run that was interrupted saves again; one that says something else is ErrConflict and stays.
func Save(ctx context.Context, b *location.Bucket, m *Manifest) error {
	data, err := m.seal()
	if err != nil {
		return err
	}
	objects, key := b.Objects(), Prefix+"/"+m.ID()+ending
	err = objects.Put(ctx, key, data, true)
	if err != nil && !errors.Is(err, location.ErrExists) {
		return err
	}
	there, read := objects.ReadAll(ctx, key, maxManifest)
	if read != nil {
		return fmt.Errorf("read back the manifest: %w", read)
	}
	if bytes.Equal(there, data) {
		return nil
	}
	if err == nil {
		return fmt.Errorf("%w: manifest %q, read back, differs from what was written", location.ErrCorrupt, m.ID())
	}
	old, bad := parse(m.ID(), there)
	if bad == nil && old.sameAs(m) {
		return nil
	}
	return fmt.Errorf("%w: %q: use another run id", ErrConflict, m.ID())
}

// Load reads the manifest of an id as Find gives it, and verifies what can be: its form, its size, that it is the one of that id, and the digest of its blueprint.
func Load(ctx context.Context, b *location.Bucket, id string) (*Manifest, error) {
	if _, ok := parseID(id); !ok {
		return nil, fmt.Errorf("%w: %q is no id of a manifest", ErrNotFound, short(id))
	}
	data, err := b.Objects().ReadAll(ctx, Prefix+"/"+id+ending, maxManifest)
	if errors.Is(err, location.ErrNotFound) {
		return nil, fmt.Errorf("%w: %q", ErrNotFound, id)
	}
	if err != nil {
		return nil, err
	}
	return parse(id, data)
}

// List yields what the catalogue has, the oldest first where the store sorts. What is named otherwise than a manifest is left out. An error is the last element.
func List(ctx context.Context, b *location.Bucket) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		for info, err := range b.Objects().List(ctx, Prefix) {
			if err != nil {
				yield(Entry{}, err)
				return
			}
			name, ok := strings.CutSuffix(strings.TrimPrefix(info.Key, Prefix+"/"), ending)
			if !ok {
				continue
			}
			if e, ok := parseID(name); ok && !yield(e, nil) {
				return
			}
		}
	}
}

// maxCandidates is how many manifests an ErrAmbiguous names.
const maxCandidates = 10

// Find returns the one manifest that text names: its id, the run's id, "RUN-N", or the beginning of an id or of a run's id that no other has.
func Find(ctx context.Context, b *location.Bucket, text string) (Entry, error) {
	if text == "" {
		return Entry{}, fmt.Errorf("%w: no id is given", ErrNotFound)
	}
	var best []Entry
	rank := 0
	for e, err := range List(ctx, b) {
		if err != nil {
			return Entry{}, err
		}
		switch r := e.rank(text); {
		case r == 0 || r < rank:
		case r > rank:
			best, rank = []Entry{e}, r
		case len(best) <= maxCandidates:
			best = append(best, e)
		}
	}
	switch len(best) {
	case 0:
		return Entry{}, fmt.Errorf("%w: %q", ErrNotFound, short(text))
	case 1:
		return best[0], nil
	}
	var ids []string
	for _, e := range best[:min(len(best), maxCandidates)] {
		ids = append(ids, e.ID)
	}
	more := ""
	if len(best) > maxCandidates {
		more = " and others"
	}
	return Entry{}, fmt.Errorf("%w %q: give one of %s%s", ErrAmbiguous, short(text), strings.Join(ids, ", "), more)
}

// rank says how well a text names the entry; 0: not at all.
func (e Entry) rank(text string) int {
	switch {
	case text == e.ID:
		return 4
	case text == e.Run:
		return 3
	case text == e.Run+"-"+strconv.Itoa(e.Index):
		return 2
	case strings.HasPrefix(e.ID, text), strings.HasPrefix(e.Run, text):
		return 1
	default:
		return 0
	}
}

// maxContents is how many values of artifacts are looked up.
const maxContents = 1000

// Describe looks up the values of the artifacts in the location, and sets Contents to the objects that they name: values that are no key of an object are none.
func (m *Manifest) Describe(ctx context.Context, b *location.Bucket) error {
	m.Contents = nil
	looked := 0
	for _, name := range slices.Sorted(maps.Keys(m.Artifacts)) {
		values := m.Artifacts[name].KeyValue
		for _, key := range slices.Sorted(maps.Keys(values)) {
			if looked++; looked > maxContents {
				return nil
			}
			info, err := b.Stat(ctx, values[key])
			if errors.Is(err, location.ErrNotFound) || errors.Is(err, location.ErrKey) {
				continue
			}
			if err != nil {
				return fmt.Errorf("artifact %q: %w", name, err)
			}
			m.Contents = append(m.Contents, Content{Artifact: name, Key: key, Path: values[key], Size: info.Size, SHA256: info.SHA256})
		}
	}
	return nil
}

// Verify compares Contents with the records that the location has now, without reading the objects. The error joins what is gone or differs.
func (m *Manifest) Verify(ctx context.Context, b *location.Bucket) error {
	var errs []error
	for _, c := range m.Contents {
		info, err := b.Stat(ctx, c.Path)
		switch {
		case err != nil:
			errs = append(errs, err)
		case info.Size != c.Size || c.SHA256 != "" && info.SHA256 != "" && info.SHA256 != c.SHA256:
			errs = append(errs, fmt.Errorf("%w: %q has %d bytes and SHA-256 %q, not the %d bytes and %q of the manifest",
				location.ErrCorrupt, short(c.Path), info.Size, info.SHA256, c.Size, c.SHA256))
		}
	}
	return errors.Join(errs...)
}
