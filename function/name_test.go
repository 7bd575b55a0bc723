package function_test

import (
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/davit-project/davit/function"
)

var dnsLabel = regexp.MustCompile(`^[a-z]([a-z0-9-]*[a-z0-9])?$`)

func TestNames(t *testing.T) {
	call := &function.Call{ID: "nightly-7/backup[1]/Dump Everything There Is"}
	require.Equal(t, "davit-nightly-7-backup-1-d-cmvzgp7w62yhguv", call.Name(""))
	require.Regexp(t, `^davit-nightly-7-backup-1-d-[a-z2-7]{15}-data-0$`, call.Name("Data_0"))
	require.NotEqual(t, call.Name("a_b"), call.Name("a.b"))
	require.NotEqual(t, call.Name("the-first-twenty-characters-a"), call.Name("the-first-twenty-characters-b"))
	require.Regexp(t, `^davit-[a-z2-7]{15}$`, (&function.Call{ID: "日本"}).Name("…"))
}

func TestNameProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(rapid.String(), rapid.StringMatching(`[a-z/\[\]0-9_.-]{0,80}`))
		a, b := function.Call{ID: text.Draw(t, "id")}, function.Call{ID: text.Draw(t, "other")}
		x, y := text.Draw(t, "suffix"), text.Draw(t, "other suffix")
		name := a.Name(x)
		if len(name) > 63 || !dnsLabel.MatchString(name) {
			t.Fatalf("%q is no DNS label", name)
		}
		if name != a.Name(x) {
			t.Fatal("names differ from call to call")
		}
		if (a.ID != b.ID || x != y) && name == b.Name(y) {
			t.Fatalf("%q, %q and %q, %q share the name %q", a.ID, x, b.ID, y, name)
		}
	})
}

func FuzzName(f *testing.F) {
	f.Add("run/action/phase", "data-0")
	f.Add("", "-")
	f.Fuzz(func(t *testing.T, id, suffix string) {
		if name := (&function.Call{ID: id}).Name(suffix); len(name) > 63 || !dnsLabel.MatchString(name) {
			t.Fatalf("%q is no DNS label", name)
		}
	})
}
