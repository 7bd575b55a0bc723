package arrows

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestImportsFollowTheTable(t *testing.T) {
	g := load(t)
	require.Contains(t, g, module+"/engine")
	require.Contains(t, g, exempt)
	for _, fault := range check(g) {
		t.Error(fault)
	}
}

func TestCheckFindsFaults(t *testing.T) {
	blob := []string{"google.golang.org/api/googleapi"}
	tests := map[string]struct {
		graph graph
		want  []string
	}{
		"clean": {
			graph: graph{
				module + "/location":         {"io", exempt},
				module + "/location/codec":   {module + "/location"},
				module + "/internal/agent":   {module + "/location/codec"},
				module + "/function/builtin": {module + "/function/kube"},
				module + "/cmd/davit":        {module + "/function/builtin", "k8s.io/client-go/rest"},
				exempt:                       blob,
			},
		},
		"unknown package": {
			graph: graph{module + "/util": nil},
			want:  []string{"util is not in the table of " + module + "/internal/arrows: say there what it may import"},
		},
		"arrow that is not in the table": {
			graph: graph{module + "/template": {module + "/function"}},
			want:  []string{"template imports function, which the table does not allow"},
		},
		"nothing imports builtin, cmd and examples": {
			graph: graph{
				module + "/engine":         {module + "/function/builtin"},
				module + "/internal/agent": {module + "/cmd/davit"},
				module + "/function/kube":  {module + "/examples/quickstart"},
			},
			want: []string{
				"engine imports function/builtin, which the table does not allow",
				"function/kube imports examples/quickstart, which the table does not allow",
				"internal/agent imports cmd/davit, which the table does not allow",
			},
		},
		"core reaches an SDK through others": {
			graph: graph{
				module + "/engine":    {module + "/blueprint"},
				module + "/blueprint": {"example.com/a"},
				"example.com/a":       {"github.com/aws/aws-sdk-go-v2/aws"},
			},
			want: []string{
				"blueprint reaches github.com/aws/aws-sdk-go-v2/aws: " + module + "/blueprint -> example.com/a -> github.com/aws/aws-sdk-go-v2/aws",
				"engine reaches github.com/aws/aws-sdk-go-v2/aws: " + module + "/engine -> " + module + "/blueprint -> example.com/a -> github.com/aws/aws-sdk-go-v2/aws",
			},
		},
		"core links testing": {
			graph: graph{module + "/function": {"testing"}},
			want:  []string{"function reaches testing: " + module + "/function -> testing"},
		},
		"what blob needs is no licence for the rest": {
			graph: graph{
				module + "/location": {exempt, "google.golang.org/api/storage/v1"},
				exempt:               blob,
			},
			want: []string{"location reaches google.golang.org/api/storage/v1: " + module + "/location -> google.golang.org/api/storage/v1"},
		},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, fault := range check(tc.graph) {
				got = append(got, fault.Error())
			}
			assert.Equal(t, tc.want, got)
		})
	}
}

// load asks the go command for the imports of every package of the module and of all they need.
func load(t *testing.T) graph {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-json=ImportPath,Imports", "./...")
	cmd.Dir = "../.."
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	g := graph{}
	for dec := json.NewDecoder(out); ; {
		var pkg struct {
			ImportPath string
			Imports    []string
		}
		if err := dec.Decode(&pkg); errors.Is(err, io.EOF) {
			break
		} else {
			require.NoError(t, err)
		}
		g[pkg.ImportPath] = pkg.Imports
	}
	require.NoError(t, cmd.Wait())
	return g
}
