package arrows

// table lists every package with those of our packages it may import; "*" stands for one path element. Test files are
// free. The packages in tops may import anything, and nothing else may import them.
var table = map[string][]string{
	"template":  {},
	"function":  {},
	"snapshot":  {},
	"location":  {},
	"cluster":   {},
	"blueprint": {"function", "template"},
	"engine":    {"blueprint", "function", "template"},

	"engine/rbac": {"blueprint", "function", "template"},

	"cluster/execstream":   {"cluster"},
	"cluster/kubecluster":  {"cluster", "internal/apifault"},
	"cluster/localcluster": {"cluster"},
	"cluster/session":      {"cluster"},

	"function/functiontest":     {"function"},
	"function/kube":             {"function", "function/internal/podspec", "cluster", "template"},
	"function/data":             {"function", "function/internal/hearing", "function/internal/podspec", "location", "location/repository", "cluster", "cluster/execstream", "internal/mover"},
	"function/volume":           {"function", "snapshot", "cluster", "cluster/session"},
	"function/internal/podspec": {"function"},
	"function/internal/hearing": {"function", "cluster", "internal/mover"},
	"function/rds":              {"function", "function/internal/hearing", "function/internal/podspec", "location", "cluster", "internal/mover", "internal/pgdump"},

	"location/file":         {"location"},
	"location/s3":           {"location", "internal/wrapblob", "internal/storefault", "internal/idle"},
	"location/gcs":          {"location", "internal/wrapblob", "internal/storefault", "internal/idle"},
	"location/azure":        {"location", "internal/wrapblob", "internal/storefault", "internal/idle"},
	"location/codec":        {"location"},
	"location/all":          {"location", "location/*"},
	"location/locationtest": {"location", "internal/wrapblob"},
	"internal/wrapblob":     {"location"},
	"internal/storefault":   {"location"},
	"internal/idle":         {},
	"location/repository":   {"location", "location/repository/internal/*"},

	"location/repository/internal/format": {},
	"location/repository/internal/chunk":  {"location/repository/internal/format"},
	"location/catalog":                    {"location"},

	"snapshot/snapshottest": {"snapshot"},
	"snapshot/memsnap":      {"snapshot"},
	"snapshot/csi":          {"snapshot", "internal/apifault"},

	"template/kubedata": {"template", "cluster"},

	"internal/agent":     {"location", "location/codec", "cluster", "internal/mover", "internal/pgdump"},
	"internal/mover":     {"location", "location/repository"},
	"internal/pgdump":    {"location", "internal/mover"},
	"internal/apifault":  {},
	"internal/arrows":    {},
	"internal/e2e":       {},
	"internal/endurance": {},
	"internal/readme":    {},

	"internal/pgdump/pgserver": {},
	"internal/pgdump/motords":  {},

	"internal/testcluster": {},
	"internal/testserver":  {},
	"internal/storetest":   {"location", "location/locationtest", "internal/testserver"},
}

// tops put the other packages together.
var tops = []string{"function/builtin", "cmd/*", "examples", "examples/*", "internal/gendocs", "internal/rehearsal", "internal/testcluster/*",
	"location/s3/internal/stream"}

// core is what an embedder always links. Through any depth it reaches none of heavy.
var core = []string{"template", "function", "location", "snapshot", "blueprint", "engine", "engine/rbac", "cluster"}

// heavy lists import paths, each with everything below it. What exempt needs by itself does not count.
var heavy = []string{
	"testing",
	"k8s.io/client-go",
	"github.com/aws",
	"github.com/Azure",
	"cloud.google.com",
	"google.golang.org/api",
}

// exempt may be imported with all it needs.
const exempt = "gocloud.dev/blob"
