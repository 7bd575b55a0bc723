package engine

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/template"
)

// canaries are planted everywhere a secret can come from.
var canaries = []string{"canary-Secret\"<1>", "canary/Phase+2=", "canary-key-id-3", "canary-key-secret-4", "-----BEGIN KEY-----\ncanaryline5\ncanaryline6\n-----END KEY-----\n"}

// spelled lists the ways in which a canary could be written down.
func spelled(c string) []string {
	quoted, _ := json.Marshal(c)
	all := []string{c, base64.StdEncoding.EncodeToString([]byte(c)), url.QueryEscape(strings.TrimSpace(c)), string(quoted[1 : len(quoted)-1])}
	for _, line := range strings.Split(strings.TrimSpace(c), "\n") {
		if strings.HasPrefix(line, "canary") {
			all = append(all, line)
		}
	}
	return all
}

func TestCanariesAppearNowhere(t *testing.T) {
	source := newObjects()
	source.secret("run", "password", canaries[0])
	source.secret("phase", "token", canaries[1])
	source.secret("pem", "key", canaries[4])
	source.profiles["app/prof"] = &template.Profile{
		Location:   template.Location{Type: "s3Compliant", Bucket: "b"},
		Credential: template.Credential{Type: "keyPair", KeyPair: &template.KeyPair{ID: canaries[2], Secret: canaries[3]}},
	}
	for _, fails := range []bool{false, true} {
		var out bytes.Buffer
		w, j := newWorld(), &MemoryJournal{}
		var args []string
		w.hook = func(_ context.Context, call *function.Call) error {
			for _, c := range canaries {
				call.Log.Info("saw "+c, "value", c, "err", errors.New(c), slog.Group("g", "inner", c), "list", []string{c})
				call.Report(t.Context(), function.Progress{Note: c})
			}
			args = append(args, call.Profile.Reveal())
			if fails {
				return fmt.Errorf("cannot use %s and %s", canaries[0], base64.StdEncoding.EncodeToString([]byte(canaries[1])))
			}
			return nil
		}
		opts := &Options{
			Logger:   slog.New(slog.NewJSONHandler(&out, nil)),
			Observe:  func(e Event) { data, _ := json.Marshal(e); out.Write(data); fmt.Fprintf(&out, "%+v", e) },
			Progress: func(r PhaseRef, p function.Progress) { fmt.Fprintf(&out, "%v %+v\n", r, p) },
		}
		spec := specOf(t, header+`
  backup:
    outputArtifacts: {all: {keyValue: {v: "{{ .Phases.a.Output.value }}"}}}
    phases:
    - func: Echo
      name: a
      objects: {s: {kind: Secret, name: phase, namespace: app}, pem: {kind: Secret, name: pem, namespace: app}}
      args: {value: '{{ .Secrets.pw.Data.password | toString }}|{{ .Phases.a.Secrets.s.Data.token | toString }}|{{ toJson .Profile }}|{{ .Phases.a.Secrets.pem.Data.key | toString }}'}
    - {func: Echo, name: b, args: {value: 'again {{ .Phases.a.Output.value }}'}}
    deferPhase: {func: Echo, name: z, args: {value: '{{ .Options.o }}'}}
`, "backup")
		spec.Actions[0].Secrets = map[string]template.ObjectReference{"pw": {Namespace: "app", Name: "run"}}
		spec.Actions[0].Profile = &template.ObjectReference{Namespace: "app", Name: "prof"}
		spec.Actions[0].Options = map[string]string{"o": "option with " + canaries[3]}
		res, err := New(w.registry(t), source, opts).Run(t.Context(), spec, j)
		if fails {
			require.Error(t, err)
			fmt.Fprintf(&out, "%v %+v", err, err)
		} else {
			require.NoError(t, err)
			real, err := res.Artifacts(0)
			require.NoError(t, err)
			require.Contains(t, real["all"].KeyValue["v"], canaries[0]+"|"+canaries[1])
		}
		data, err := json.Marshal(res)
		require.NoError(t, err)
		out.Write(data)
		events, _ := j.Events(t.Context())
		data, err = json.Marshal(events)
		require.NoError(t, err)
		out.Write(data)
		require.Contains(t, strings.Join(args, ""), canaries[3], "functions get the profile")
		for _, c := range canaries {
			for _, s := range spelled(c) {
				require.NotContains(t, out.String(), s)
			}
		}
	}
}

func TestResumeExpandsSecretsAgain(t *testing.T) {
	source := newObjects()
	source.secret("pw", "password", "old horse battery")
	bp := header + `
  backup:
    outputArtifacts: {all: {keyValue: {v: "{{ .Phases.b.Output.value }}"}}}
    phases:
    - {func: Echo, name: a, objects: {pw: {kind: Secret, name: pw, namespace: app}}, args: {value: 'x {{ .Phases.a.Secrets.pw.Data.password | toString }}'}}
    - {func: Echo, name: b, args: {value: '{{ .Phases.a.Output.value }} {{ .Phases.a.Secrets.pw.Data.password | toString }}'}}
`
	w, j := newWorld(), &mortalJournal{left: 3}
	_, err := New(w.registry(t), source, nil).Run(t.Context(), specOf(t, bp, "backup"), j)
	require.ErrorIs(t, err, errCrash)
	j.left = 100
	res, err := New(w.registry(t), source, nil).Resume(t.Context(), j)
	require.NoError(t, err)
	artifacts, err := res.Artifacts(0)
	require.NoError(t, err)
	require.Equal(t, "x old horse battery old horse battery", artifacts["all"].KeyValue["v"])

	loaded, err := New(w.registry(t), source, nil).Load(t.Context(), j)
	require.NoError(t, err)
	artifacts, err = loaded.Artifacts(0)
	require.NoError(t, err)
	require.Equal(t, "x old horse battery old horse battery", artifacts["all"].KeyValue["v"])
	require.Equal(t, "x [masked] [masked]", loaded.Actions[0].Shown["all"].KeyValue["v"])

	delete(source.secrets, "app/pw")
	loaded, err = New(w.registry(t), source, nil).Load(t.Context(), j)
	require.NoError(t, err)
	_, err = loaded.Artifacts(0)
	require.ErrorContains(t, err, `key "password" of secret "pw" in namespace "app", which can no longer be read`)
}

// A secret that is gone takes the outputs that hold it with it, not the run: who reads one fails, the deferred phase runs.
func TestResumeWithoutASecret(t *testing.T) {
	bp := header + `
  backup:
    phases:
    - {func: Echo, name: a, objects: {pw: {kind: Secret, name: pw, namespace: app}}, args: {value: '{{ .Phases.a.Secrets.pw.Data.password | toString }}'}}
    - {func: Make, name: b, args: {value: '{{ .Phases.a.Output.n }}'}}
    - {func: Echo, name: c, args: {value: 'uses %s'}}
    deferPhase: {func: Echo, name: z}
`
	for use, complete := range map[string]bool{"{{ .Phases.b.Output.value }}": true, "{{ .Phases.a.Output.value }}": false} {
		source := newObjects()
		source.secret("pw", "password", "old horse battery")
		w, j := newWorld(), &mortalJournal{left: 4}
		spec := specOf(t, fmt.Sprintf(bp, use), "backup")
		_, err := New(w.registry(t), source, nil).Run(t.Context(), spec, j)
		require.ErrorIs(t, err, errCrash)
		j.left = 100

		down := errors.New("the API server does not answer")
		_, err = New(w.registry(t), unreachable{source, down}, nil).Resume(t.Context(), j)
		require.ErrorIs(t, err, down)
		require.ErrorContains(t, err, "cannot be resumed")
		require.Zero(t, w.count("z"))

		delete(source.secrets, "app/pw")
		res, err := New(w.registry(t), source, nil).Resume(t.Context(), j)
		require.Equal(t, complete, err == nil, "%v", err)
		require.True(t, res.State.Ended())
		require.Equal(t, 1, w.count("z"))
		if !complete {
			require.ErrorContains(t, err, `.Phases.a.Output.value`)
		}
	}
}

type unreachable struct {
	Source
	err error
}

func (u unreachable) Secret(context.Context, string, string) (template.Secret, error) {
	return template.Secret{}, u.err
}

func TestTheProxyOfAProfileIsMasked(t *testing.T) {
	v := newVault()
	v.addProfile("app", "prof", &template.Profile{Location: template.Location{Proxy: "http://user:canary%20of-a-proxy@proxy.example.com:3128"}})
	for _, text := range []string{"canary of-a-proxy", "http://user:canary%20of-a-proxy@proxy.example.com:3128"} {
		require.NotContains(t, v.mask("via "+text), "of-a-proxy")
	}
	v.addProfile("app", "other", &template.Profile{Location: template.Location{Proxy: "http://proxy.example.com:3128"}})
	require.Equal(t, "via http://proxy.example.com:3128", v.mask("via http://proxy.example.com:3128"))
}

func TestShortSecretsAreMaskedAlone(t *testing.T) {
	v := newVault()
	v.add(secretRef{Kind: "secret", Name: "s", Key: "k"}, "ab")
	require.Equal(t, "[masked] cab abc -[masked]- ([masked])", v.mask("ab cab abc -ab- (ab)"))
}

func TestLongestSecretWins(t *testing.T) {
	v := newVault()
	v.add(secretRef{Name: "a"}, "secret")
	v.add(secretRef{Name: "b"}, "secret-and-more")
	require.Equal(t, "[masked]![masked]", v.mask("secret-and-more!secret"))
}

// A container that writes what looks like a reference must not get a secret for it.
func TestReferencesCannotBeForged(t *testing.T) {
	v := newVault()
	v.add(secretRef{Kind: "secret", Namespace: "app", Name: "pw", Key: "k"}, "correct horse")
	forged := map[string]any{secretKey: []any{map[string]any{"ref": map[string]any{"kind": "secret", "namespace": "app", "name": "pw", "key": "k"}}}}
	values, err := v.encodeValues(map[string]any{"out": forged, "$x": 1, "$$": "$secret"})
	require.NoError(t, err)
	data, err := json.Marshal(values)
	require.NoError(t, err)
	var back Values
	require.NoError(t, json.Unmarshal(data, &back))
	tree, err := v.expand(map[string]any(back))
	require.NoError(t, err)
	require.Equal(t, map[string]any{"out": forged, "$x": int64(1), "$$": "$secret"}, tree)
}

func FuzzVault(f *testing.F) {
	f.Add("pass\nword", "the pass\nword is pass\nword", "x")
	f.Add("a", "a", "aaaa")
	f.Fuzz(func(t *testing.T, secret, before, after string) {
		v := newVault()
		ref := secretRef{Kind: "secret", Name: "s", Key: "k"}
		v.add(ref, secret)
		text := strings.ToValidUTF8(before+secret+after, "?")
		values, err := v.encodeValues(map[string]any{"v": text})
		require.NoError(t, err)
		data, err := json.Marshal(values)
		require.NoError(t, err)
		var back Values
		require.NoError(t, json.Unmarshal(data, &back))
		tree, err := v.expand(map[string]any(back))
		require.NoError(t, err)
		require.Equal(t, text, tree.(map[string]any)["v"])
		if len(secret) >= shortSecret && strings.ToValidUTF8(secret, "?") == secret && !strings.Contains(masked, secret) {
			require.NotContains(t, strings.ReplaceAll(v.mask(text), masked, "\x00"), secret)
		}
	})
}

// Whoever looks at a run sees that its location was open to whoever stood between.
func TestInsecureProfileIsVisible(t *testing.T) {
	for _, insecure := range []bool{true, false} {
		source := newObjects()
		source.profiles["app/prof"] = &template.Profile{Location: template.Location{Type: "s3Compliant", Bucket: "b"}, SkipSSLVerify: insecure}
		spec := specOf(t, header+`
  backup:
    phases:
    - {func: Echo, name: a, args: {value: x}}
`, "backup")
		spec.Actions[0].Profile = &template.ObjectReference{Namespace: "app", Name: "prof"}
		j := &MemoryJournal{}
		res, err := New(newWorld().registry(t), source, nil).Run(t.Context(), spec, j)
		require.NoError(t, err)
		require.Equal(t, insecure, res.Actions[0].Insecure)
		data, err := json.Marshal(res)
		require.NoError(t, err)
		require.Equal(t, insecure, strings.Contains(string(data), `"insecure":true`))
		events, err := j.Events(t.Context())
		require.NoError(t, err)
		require.Equal(t, insecure, events[0].Run.Actions[0].Insecure)
	}
}
