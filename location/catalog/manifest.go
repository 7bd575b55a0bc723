package catalog

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"time"
	"unicode/utf8"
)

// Errors of this package.
var (
	// ErrNotFound means that the catalogue has no such manifest.
	ErrNotFound = errors.New("not in the catalogue")
	// ErrAmbiguous means that several manifests fit.
	ErrAmbiguous = errors.New("several manifests fit")
	// ErrInvalid means that a manifest cannot be used: it is damaged, forged, or of a later version of the format.
	ErrInvalid = errors.New("invalid manifest")
	// ErrConflict means that there is a manifest of that id that says something else.
	ErrConflict = errors.New("another manifest has this id")
)

// Format is the version of manifests that this package writes. It reads those up to it.
const Format = 1

// maxManifest is the most a manifest takes, in bytes: a blueprint has at most 2 MiB, the artifacts of an action 1 MiB.
const maxManifest = 4 << 20

// Manifest describes what one action of a run has done.
type Manifest struct {
	Format int `json:"format"`
	// Davit is the version of the program that wrote the manifest.
	Davit string `json:"davit"`
	// Run is the id of the run, Index the position of the action in it, from 0.
	Run   string `json:"run"`
	Index int    `json:"index"`
	// Action is the name of the action in its blueprint.
	Action  string    `json:"action"`
	Started time.Time `json:"started"`
	Ended   time.Time `json:"ended"`
	// Subject is what the action was performed on.
	Subject Object `json:"subject"`
	// Profile, Secrets and ConfigMaps are the names of what the action used.
	Profile    *Object           `json:"profile,omitempty"`
	Secrets    map[string]Object `json:"secrets,omitempty"`
	ConfigMaps map[string]Object `json:"configMaps,omitempty"`
	Options    map[string]string `json:"options,omitempty"`
	// FunctionVersion is the version of functions that the action preferred.
	FunctionVersion string              `json:"functionVersion,omitempty"`
	Phases          []Phase             `json:"phases,omitempty"`
	Artifacts       map[string]Artifact `json:"artifacts,omitempty"`
	// Withheld names the options and values of artifacts that were left out because they contain a secret: "options.KEY", "artifacts.NAME.KEY".
	Withheld []string `json:"withheld,omitempty"`
	// Contents are the objects of the location that values of artifacts name, as they were when the action ended.
	Contents []Content `json:"contents,omitempty"`
	// Blueprint is the one that the action is from.
	Blueprint Blueprint `json:"blueprint"`
}

// Object names an object of the cluster.
type Object struct {
	APIVersion string `json:"apiVersion,omitempty"`
	Group      string `json:"group,omitempty"`
	Resource   string `json:"resource,omitempty"`
	Kind       string `json:"kind,omitempty"`
	Name       string `json:"name"`
	Namespace  string `json:"namespace,omitempty"`
}

// Phase is a phase of the action.
type Phase struct {
	Name    string `json:"name"`
	Func    string `json:"func"`
	Version string `json:"version,omitempty"`
	State   string `json:"state"`
}

// Artifact is a result of the action.
type Artifact struct {
	KeyValue      map[string]string `json:"keyValue,omitempty"`
	KopiaSnapshot string            `json:"kopiaSnapshot,omitempty"`
}

// Content is an object of the location.
type Content struct {
	// Artifact and Key say which value names the object, Path is that value.
	Artifact string `json:"artifact"`
	Key      string `json:"key"`
	Path     string `json:"path"`
	// Size in bytes as stored, and SHA256 in lower-case hex, empty where the location has no record of the object.
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256,omitempty"`
}

// Blueprint is a blueprint in its canonical form.
type Blueprint struct {
	Name string `json:"name"`
	// SHA256 is that of Document without white space between its values, in lower-case hex. New sets it.
	SHA256   string          `json:"sha256"`
	Document json.RawMessage `json:"document"`
}

// timeForm is the form of the time in an id: it sorts.
const timeForm = "20060102T150405Z"

// ID is the manifest's id.
func (m *Manifest) ID() string {
	return m.Started.UTC().Format(timeForm) + "-" + m.Run + "-" + strconv.Itoa(m.Index)
}

var (
	runForm = regexp.MustCompile(`^[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?$`)
	idForm  = regexp.MustCompile(`^([0-9]{8}T[0-9]{6}Z)-([a-z0-9](?:[-a-z0-9.]{0,61}[a-z0-9])?)-(0|[1-9][0-9]{0,5})$`)
)

// seal fills in what follows from the rest and encodes the manifest.
func (m *Manifest) seal() ([]byte, error) {
	m.Format, m.Started, m.Ended = Format, m.Started.UTC(), m.Ended.UTC()
	document, err := compact(m.Blueprint.Document)
	if err != nil {
		return nil, fmt.Errorf("%w: the blueprint is not JSON", ErrInvalid)
	}
	m.Blueprint.Document, m.Blueprint.SHA256 = document, digest(document)
	if err := m.check(); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false) // the blueprint's text stays as it is
	enc.SetIndent("", "  ")
	if err := enc.Encode(m); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if out.Len() > maxManifest {
		return nil, fmt.Errorf("%w: it has %d bytes, more than %d", ErrInvalid, out.Len(), maxManifest)
	}
	return out.Bytes(), nil
}

// parse reads a manifest that was stored under an id.
func parse(id string, data []byte) (*Manifest, error) {
	wrong := func(format string, args ...any) (*Manifest, error) {
		return nil, fmt.Errorf("%w %q: %w", ErrInvalid, id, fmt.Errorf(format, args...))
	}
	if len(data) > maxManifest || !utf8.Valid(data) {
		return wrong("it is too large, or no text")
	}
	var head struct{ Format int }
	if err := json.Unmarshal(data, &head); err != nil {
		return wrong("it is no JSON object: %w", err)
	}
	if head.Format < 1 || head.Format > Format {
		return wrong("it has format %d, this program reads 1 to %d", head.Format, Format)
	}
	m := &Manifest{}
	if err := json.Unmarshal(data, m); err != nil {
		return wrong("%w", err)
	}
	document, err := compact(m.Blueprint.Document)
	if err != nil {
		return wrong("the blueprint is not JSON")
	}
	m.Blueprint.Document = document
	if got := digest(document); got != m.Blueprint.SHA256 {
		return wrong("its blueprint has SHA-256 %s, not the %q it says: one of them was changed", got, short(m.Blueprint.SHA256))
	}
	if err := m.check(); err != nil {
		return nil, err
	}
	if m.ID() != id {
		return wrong("it is that of %q", m.ID())
	}
	return m, nil
}

// check looks at what other parts rely on.
func (m *Manifest) check() error {
	switch {
	case !runForm.MatchString(m.Run):
		return fmt.Errorf("%w: run id %q", ErrInvalid, short(m.Run))
	case m.Index < 0 || m.Index > 999_999:
		return fmt.Errorf("%w: index %d", ErrInvalid, m.Index)
	case m.Action == "" || m.Blueprint.Name == "":
		return fmt.Errorf("%w: it names no action or blueprint", ErrInvalid)
	case !idForm.MatchString(m.ID()):
		return fmt.Errorf("%w: the time %s", ErrInvalid, m.Started)
	}
	for _, c := range m.Contents {
		if c.Size < 0 || c.SHA256 != "" && len(c.SHA256) != 2*sha256.Size {
			return fmt.Errorf("%w: size or hash of %q", ErrInvalid, short(c.Path))
		}
	}
	return nil
}

// sameAs tells whether two manifests say the same, whichever version of the program wrote them.
func (m *Manifest) sameAs(other *Manifest) bool {
	a, b := *m, *other
	a.Davit, b.Davit = "", ""
	one, err1 := a.seal()
	two, err2 := b.seal()
	return err1 == nil && err2 == nil && bytes.Equal(one, two)
}

func compact(document []byte) ([]byte, error) {
	var out bytes.Buffer
	err := json.Compact(&out, document)
	return out.Bytes(), err
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// short bounds what an error shows of a text that may be anybody's.
func short(text string) string {
	const most = 100
	if len(text) > most {
		return text[:most] + "…"
	}
	return text
}
