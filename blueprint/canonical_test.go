package blueprint_test

import (
	"math"
	"testing"
	"time"

	"github.com/davit-project/davit/blueprint"
	"github.com/davit-project/davit/template"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// TestJSON reads blueprints of every shape back from their canonical form.
func TestJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bp := anyBlueprint(t)
		data, err := bp.JSON()
		require.NoError(t, err)
		f := blueprint.Parse("x", data)
		require.NoError(t, f.Err())
		require.Len(t, f.Blueprints, 1)
		again := f.Blueprints[0]
		again.Source = blueprint.Source{}
		require.Equal(t, bp, again)
		require.Equal(t, bp.Digest(), again.Digest())
	})
}

func anyBlueprint(t *rapid.T) *blueprint.Blueprint {
	text := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"", "{{ .Time }}", "\u0085\u2028\x7f\ufeff", "null", "1", "<&>", "\x00", "a\r\nb"}))
	name := rapid.OneOf(rapid.StringN(1, 8, 16), rapid.SampledFrom([]string{"<<", "null", "a.b[0]", "true"}))
	texts := rapid.SliceOfN(text, 1, 3)
	textMap := rapid.MapOfN(name, text, 1, 3)
	refs := rapid.MapOfN(name, rapid.Custom(func(t *rapid.T) template.ObjectReference {
		return template.ObjectReference{Kind: text.Draw(t, "kind"), Name: text.Draw(t, "name"), Namespace: text.Draw(t, "namespace")}
	}), 1, 2)
	phase := rapid.Custom(func(t *rapid.T) *blueprint.Phase {
		p := &blueprint.Phase{Name: text.Draw(t, "name"), Func: text.Draw(t, "func"), If: text.Draw(t, "if")}
		if rapid.Bool().Draw(t, "more") {
			p.Objects = refs.Draw(t, "objects")
			p.Timeout = time.Duration(rapid.Int64Range(1, math.MaxInt64).Draw(t, "timeout"))
			p.Retry = &blueprint.Retry{Attempts: rapid.IntRange(1, 1000).Draw(t, "attempts"), Backoff: time.Millisecond, MaxBackoff: time.Hour}
			p.Args = rapid.MapOfN(name, rapid.Custom(anyValue), 1, 4).Draw(t, "args")
		}
		return p
	})
	bp := &blueprint.Blueprint{Name: text.Draw(t, "name"), Namespace: text.Draw(t, "namespace"), Actions: map[string]*blueprint.Action{}}
	bp.ActionNames = rapid.SliceOfNDistinct(name, 1, 3, rapid.ID[string]).Draw(t, "actions")
	for _, n := range bp.ActionNames {
		a := &blueprint.Action{Name: n, Kind: text.Draw(t, "kind"), Phases: rapid.SliceOfN(phase, 1, 3).Draw(t, "phases")}
		if rapid.Bool().Draw(t, "more") {
			a.SecretNames, a.ConfigMapNames, a.InputArtifactNames = texts.Draw(t, "s"), texts.Draw(t, "c"), texts.Draw(t, "i")
			a.OutputArtifacts = map[string]template.Artifact{"a": {KeyValue: textMap.Draw(t, "kv"), KopiaSnapshot: text.Draw(t, "kopia")}}
			a.DeferPhase = phase.Draw(t, "defer")
		}
		bp.Actions[n] = a
	}
	return bp
}

func anyValue(t *rapid.T) any {
	switch rapid.IntRange(0, 7).Draw(t, "kind") {
	case 0:
		return nil
	case 1:
		return rapid.Bool().Draw(t, "bool")
	case 2:
		return rapid.Int64().Draw(t, "int")
	case 3:
		return rapid.Float64Range(-math.MaxFloat64, math.MaxFloat64).Draw(t, "float")
	case 4:
		return rapid.SliceOfN(rapid.Custom(anyValue), 0, 2).Draw(t, "list")
	case 5:
		return rapid.MapOfN(rapid.StringN(1, 4, 8), rapid.Custom(anyValue), 0, 2).Draw(t, "map")
	default:
		return rapid.String().Draw(t, "text")
	}
}

// TestJSONRefuses what could not be read back.
func TestJSONRefuses(t *testing.T) {
	deep := map[string]any{}
	for at, i := deep, 0; i < 200; i++ {
		next := map[string]any{}
		at["x"], at = next, next
	}
	for name, arg := range map[string]any{"type": struct{}{}, "not a number": math.NaN(), "not UTF-8": "\xff", "depth": deep} {
		t.Run(name, func(t *testing.T) {
			bp := &blueprint.Blueprint{Name: "bp", ActionNames: []string{"a"}, Actions: map[string]*blueprint.Action{
				"a": {Phases: []*blueprint.Phase{{Args: map[string]any{"x": arg}}}}}}
			_, err := bp.JSON()
			require.ErrorContains(t, err, `encode blueprint "bp": `)
			require.Empty(t, bp.Digest())
		})
	}
	_, err := (&blueprint.Blueprint{ActionNames: []string{"a"}}).JSON()
	require.EqualError(t, err, `encode blueprint "": action "a" is named but not there`)
	_, err = (&blueprint.Blueprint{Actions: map[string]*blueprint.Action{"a": {}}}).JSON()
	require.EqualError(t, err, `encode blueprint "": it has 1 actions but names 0`)
}

func TestActionSetJSON(t *testing.T) {
	as := &blueprint.ActionSet{Name: "n", Namespace: "ns", GenerateName: "g-", Labels: map[string]string{"a": "b"}, Actions: []blueprint.ActionSpec{{
		Name: "backup", Blueprint: "bp", Object: template.ObjectReference{Kind: "pvc", Name: "x"},
		Artifacts: map[string]template.Artifact{"a": {KeyValue: map[string]string{"k": "v"}}}, ConfigMaps: map[string]template.ObjectReference{"c": {Name: "c"}},
		Secrets: map[string]template.ObjectReference{"s": {Name: "s"}}, Profile: &template.ObjectReference{Name: "p"},
		PodOverride: map[string]any{"f": 1.0}, Options: map[string]string{"x": "y"}, PreferredVersion: "v1.0.0",
		PodLabels: map[string]string{"l": "v"}, PodAnnotations: map[string]string{"l": "v"},
	}}}
	data, err := as.JSON()
	require.NoError(t, err)
	f := blueprint.Parse("x", data)
	require.NoError(t, f.Err())
	again := f.ActionSets[0]
	again.Source = blueprint.Source{}
	require.Equal(t, as, again)
	require.Equal(t, as.Digest(), again.Digest())
	require.Len(t, as.Digest(), 64)
}
