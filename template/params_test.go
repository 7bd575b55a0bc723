package template

import "github.com/stretchr/testify/require"

// fullParams are those of a run that has everything.
func fullParams() *Params {
	return &Params{
		StatefulSet: &Workload{
			Name: "db", Namespace: "app", Pods: []string{"db-0", "db-1"}, Containers: [][]string{{"main", "side"}, {"main"}},
			PersistentVolumeClaims: map[string]map[string]string{"db-0": {"data-db-0": "/data", "wal-db-0": "/wal"}},
		},
		Deployment:  &Workload{Name: "web", Namespace: "app", Pods: []string{"web-x"}},
		Namespace:   &Namespace{Name: "app", Namespace: "app"},
		ArtifactsIn: map[string]Artifact{"dump": {KeyValue: map[string]string{"path": "backups/1"}, KopiaSnapshot: "{}"}},
		ConfigMaps:  map[string]ConfigMap{"location": {Data: map[string]string{"bucket": "b1"}}},
		Secrets:     map[string]Secret{"aws": {ObjectMeta: ObjectMeta{Name: "aws", Namespace: "app"}, Data: map[string][]byte{"key": []byte("s3cr3t")}}},
		Time:        "2026-08-21T10:20:30.123456789Z",
		Profile: &Profile{
			Location:      Location{Type: "s3Compliant", Bucket: "b", Endpoint: "https://e", Prefix: "p", Region: "r"},
			Credential:    Credential{Type: "keyPair", KeyPair: &KeyPair{ID: "id", Secret: "sec"}},
			SkipSSLVerify: true,
		},
		Options: Options{"psqlImage": "img"},
		Object: map[string]any{
			"metadata": map[string]any{"name": "obj", "namespace": "app", "labels": map[string]any{"app": "db", "app.kubernetes.io/instance": "db1"}},
			"data":     map[string]any{"etcdns": "a3ViZS1zeXN0ZW0=", "nothing": nil},
			"spec":     map[string]any{"nodeSets": []any{map[string]any{"name": "default", "count": int64(3)}}},
		},
		Phases: map[string]*Phase{"dump": {
			Secrets: map[string]Secret{"db": {Data: map[string][]byte{"password": []byte("s3cr3t"), "root-password": []byte("s3cr3t2")}}},
			Output:  Outputs{"size": "12", "count": int32(3), "map": map[string]string{"z": "1", "a": "x"}},
		}},
		DeferPhase:  &Phase{Output: Outputs{"done": true}},
		PodOverride: map[string]any{"containers": []any{map[string]any{"name": "container"}}},
		PodLabels:   map[string]string{"team": "a"},
	}
}

func render(t require.TestingT, text string, data any) (string, error) {
	var env *Env
	tmpl, err := env.Compile("args.command[2]", text)
	require.NoError(t, err)
	return tmpl.Render(data)
}
