package blueprint_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/davit-project/davit/blueprint"
	"github.com/stretchr/testify/require"
)

// largeBlueprint has as many phases and templates as the largest blueprints in the field.
func largeBlueprint() []byte {
	var b strings.Builder
	b.WriteString(header + "actions:\n")
	for _, action := range []string{"backup", "restore", "delete"} {
		fmt.Fprintf(&b, "  %s:\n    phases:\n", action)
		for i := range 3 {
			fmt.Fprintf(&b, "    - name: phase%d\n      func: KubeTask\n      args:\n        image: alpine\n        command:\n        - sh\n        - -c\n        - |\n", i)
			for range 6 {
				b.WriteString(strings.Repeat("          echo some line of a script\n", 5) + "          echo '{{ .StatefulSet.Namespace }}/{{ index .StatefulSet.Pods 0 }}/{{ toDate \"2006\" .Time | date \"2006\" }}'\n")
			}
		}
	}
	return []byte(b.String())
}

func BenchmarkParse(b *testing.B) {
	data := largeBlueprint()
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		blueprint.Parse("x", data)
	}
}

func BenchmarkLint(b *testing.B) {
	f := blueprint.Parse("x", largeBlueprint())
	require.NoError(b, f.Err())
	reg := testRegistry(b)
	for b.Loop() {
		blueprint.Lint(f.Blueprints[0], reg, nil)
	}
}
