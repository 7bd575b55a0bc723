package template

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestIdioms renders what blueprints in the field write.
func TestIdioms(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{`{{ .StatefulSet.Namespace }}/{{.StatefulSet.Name }}`, "app/db"},
		{`{{ .StatefulSet.Name | upper | replace "-" "_" }}`, "DB"},
		{`{{ index .Deployment.Name }}`, "web"},
		{`{{ index .Object.metadata.labels.app }}`, "db"},
		{`{{ index .Object.metadata.labels "app" }}`, "db"},
		{`{{ index .Object.metadata.labels "app.kubernetes.io/instance" }}`, "db1"},
		{`{{ (index .Object.spec.nodeSets 0).name }}{{ (index .Object.spec.nodeSets 0).count }}`, "default3"},
		{`{{ len .Object.spec.nodeSets }}{{ len .StatefulSet.Pods }}`, "12"},
		{`{{ index .StatefulSet.Pods 0 }} {{ index .Deployment.Pods 0}}`, "db-0 web-x"},
		{"{{- range $k, $_ := index .StatefulSet.PersistentVolumeClaims (index .StatefulSet.Pods 0) -}}\n{{$k}}{{break}}{{end}}", "data-db-0"},
		{`{{ range .StatefulSet.Pods }} {{.}}{{ end }}`, " db-0 db-1"},
		{`{{ range $i, $p := .StatefulSet.Pods }}{{$i}}={{$p}};{{ end }}`, "0=db-0;1=db-1;"},
		{`{{ toJson .Profile.Location.Region | toString }}`, `"r"`},
		{`{{ .Profile.Location.Region | quote}}`, `"r"`},
		{`{{- if .Profile.Credential.KeyPair }}{{ .Profile.Credential.KeyPair.ID }}:{{ .Profile.Credential.KeyPair.Secret }}{{- else }}{{ .Profile.Credential.Secret.Data.x | toString }}{{- end }}`, "id:sec"},
		{`{{- if .Profile.Credential.Secret }}y{{ else }}n{{ end }}`, "n"},
		{`{{- if .Profile.SkipSSLVerify }} --no-verify-ssl{{- end }}`, " --no-verify-ssl"},
		{`{{if index .Options "psqlImage" }}{{ .Options.psqlImage }}{{end}}`, "img"},
		{`{{- if .Options }}y{{ end }}`, "y"},
		{`echo $HOME ${x} {} $(date) { "a": 1 }`, `echo $HOME ${x} {} $(date) { "a": 1 }`},
		{`{{ toDate "2006-01-02T15:04:05.999999999Z07:00" .Time  | date "2006-01-02T15-04-05" }}`, "2026-08-21T10-20-30"},
		{`{{ toDate "2006-01-02T15:04:05.999999999Z07:00" .Time | date "2006-01-02T15:04:05Z07:00" }}`, "2026-08-21T10:20:30Z"},
		{`{{ .Time | date "2006-01-02T15:04:05" }}`, "2026-08-21T10:20:30"},
		{`{{ index .Object.data "etcdns" | toString | b64dec }}`, "kube-system"},
		{`{{ .Phases.dump.Secrets.db.Data.password | toString }}`, "s3cr3t"},
		{`{{ index .Phases.dump.Secrets.db.Data "root-password" | toString }}`, "s3cr3t2"},
		{`{{ .Secrets.aws.Data.key | toString }}{{ .Secrets.aws.Name }}`, "s3cr3taws"},
		{`{{ .Secrets.aws.Data.key }}`, "[115 51 99 114 51 116]"},
		{`{{ .ConfigMaps.location.Data.bucket }}`, "b1"},
		{`{{ .ArtifactsIn.dump.KeyValue.path }}{{ .ArtifactsIn.dump.KopiaSnapshot }}`, "backups/1{}"},
		{`{{ .Phases.dump.Output.count }} {{ .Phases.dump.Output.map }}`, "3 map[a:x z:1]"},
		{`{{ .DeferPhase.Output.done }}`, "true"},
		{`{{ if and .Profile (eq .Profile.Location.Type "s3Compliant") }}s3{{ end }}`, "s3"},
		{`{{ if or .PVC .StatefulSet }}y{{ end }}`, "y"},
		{`{{ define "x" }}[{{ . }}]{{ end }}{{ template "x" .Namespace.Name }}`, "[app]"},
		{`{{ if "$.status.x" }}true{{ end }}`, "true"},
	} {
		got, err := render(t, c.text, fullParams())
		require.NoError(t, err, c.text)
		require.Equal(t, c.want, got, c.text)
	}
}

// TestErrorTable is what templates do with parameters a run does not have.
func TestErrorTable(t *testing.T) {
	phaseWithout := &Params{Phases: map[string]*Phase{"a": {}}}
	for _, c := range []struct {
		text      string
		data      *Params
		want, err string
	}{
		{text: `{{ .Options.x }}`, data: &Params{}, err: `.Options.x: no "x" in .Options (it is empty)`},
		{text: `{{ .Options.x }}`, data: &Params{Options: Options{}}, err: `.Options.x: no "x" in .Options (it is empty)`},
		{text: `{{ index .Options "x" }}`, data: &Params{}},
		{text: `{{ .Phases.a.Output.b }}`, data: &Params{}, err: `.Phases.a.Output.b: no "a" in .Phases (it is empty)`},
		{text: `{{ .Phases.a.Output.b }}`, data: phaseWithout, err: `.Phases.a.Output.b: no "b" in .Phases.a.Output (it is empty)`},
		{text: `{{ .Phases.dump.Output.path }}`, data: &Params{Phases: map[string]*Phase{"dump": {Output: Outputs{"size": 1}}}},
			err: `.Phases.dump.Output.path: no "path" in .Phases.dump.Output (it has "size")`},
		{text: `{{ .ArtifactsIn.m.KeyValue.x }}`, data: &Params{}, err: `.ArtifactsIn.m.KeyValue.x: no "m" in .ArtifactsIn (it is empty)`},
		{text: `{{ .ArtifactsIn.m.KeyValue.x }}`, data: &Params{ArtifactsIn: map[string]Artifact{"m": {}}}, err: `.ArtifactsIn.m.KeyValue.x: no "x" in .ArtifactsIn.m.KeyValue (it is empty)`},
		{text: `{{ .Object.metadata.labels.nope }}`, data: &Params{Object: map[string]any{"metadata": map[string]any{"name": "x"}}},
			err: `.Object.metadata.labels.nope: no "labels" in .Object.metadata (it has "name")`},
		{text: `{{ .Profile.Location.Bucket }}`, data: &Params{}, err: `.Profile.Location.Bucket: the run has no profile`},
		{text: `{{ toJson .Profile }}`, data: &Params{}, want: "null"},
		{text: `{{ .Foo }}`, data: &Params{}, err: `.Foo: not there: no field "Foo" (there are ArtifactsIn, ConfigMaps, CurrentPhase, DeferPhase, Deployment, DeploymentConfig, Namespace, Object, Options, PVC, Phases, PodAnnotations, PodLabels, PodOverride, Profile, Secrets, StatefulSet, Time)`},
		{text: `{{ if .Profile }}y{{ else }}n{{ end }}`, data: &Params{}, want: "n"},
		{text: `{{ index .Deployment.Pods 0 }}`, data: &Params{Deployment: &Workload{}}, err: `.Deployment.Pods[0]: not there: no position 0 in .Deployment.Pods, which has 0`},
		{text: `{{ .StatefulSet.Name }}`, data: &Params{}, err: `.StatefulSet.Name: the subject of the run is no StatefulSet`},
		{text: `{{ .Profile }}`, data: &Params{}, err: `.Profile: not there: it has no value to print`},
		{text: `{{ .Profile.Location.Buckett }}`, data: &Params{Profile: &Profile{}}, err: `.Profile.Location.Buckett: not there: no field "Buckett" (did you mean Bucket?)`},
	} {
		got, err := render(t, c.text, c.data)
		if c.err == "" {
			require.NoError(t, err, c.text)
			require.Equal(t, c.want, got, c.text)
			continue
		}
		require.ErrorIs(t, err, ErrMissing, c.text)
		require.EqualError(t, err, "args.command[2]: "+c.err, c.text)
	}
}

// TestIndexStrict is where index of an absent key is an error and where it is empty.
func TestIndexStrict(t *testing.T) {
	for _, text := range []string{
		`{{ index .Secrets "x" }}`, `{{ index .ConfigMaps "x" }}`, `{{ index .Secrets.aws.Data "x" | toString }}`, `{{ index .ConfigMaps.location.Data "x" }}`,
		`{{ index .Phases "x" }}`, `{{ index .Phases.dump.Output "x" }}`, `{{ index .Phases.dump.Secrets "x" }}`, `{{ index .ArtifactsIn "x" }}`,
		`{{ index .ArtifactsIn.dump.KeyValue "x" }}`, `{{ index .StatefulSet.PersistentVolumeClaims "x" }}`, `{{ index .PodLabels "x" }}`,
		`{{ "x" | index .PodAnnotations }}`, `{{ index .StatefulSet.Pods 7 }}`, `{{ index .StatefulSet.Pods -1 }}`, `{{ index .PVC "x" }}`,
		`{{ index .Object.metadata.labels "x" }}`, `{{ index .Object.data "nothing" }}`, `{{ .Object.data.nothing }}`, `{{ index .Object.data "x" | toString }}`,
		`{{ index .Object.nope "x" }}`, `{{ index .Object.data "x" "y" }}`,
	} {
		_, err := render(t, text, fullParams())
		require.ErrorIs(t, err, ErrMissing, text)
		require.NotContains(t, err.Error(), "s3cr3t", text)
	}
	for _, text := range []string{
		`{{ index .Options "x" }}`, `{{ if index .Object.metadata.labels "x" }}y{{ end }}`, `{{ default "" (index .Object.data "x") }}`,
		`{{ with index .PodOverride "x" }}y{{ end }}`, `{{ index (dict "a" 1) "x" | default "" }}`, `{{ quote (index .Object.data "x") }}`,
	} {
		got, err := render(t, text, fullParams())
		require.NoError(t, err, text)
		require.Empty(t, got, text)
	}
	_, err := render(t, `{{ index .StatefulSet.PersistentVolumeClaims 0 }}`, fullParams())
	require.EqualError(t, err, `args.command[2]: .StatefulSet.PersistentVolumeClaims[0]: the keys of .StatefulSet.PersistentVolumeClaims are texts, not a number`)
}

func TestProfileJSON(t *testing.T) {
	for _, c := range []struct {
		profile Profile
		want    string
	}{
		{
			Profile{Location{Type: "s3Compliant", Bucket: "b", Endpoint: "https://e", Prefix: "p", Region: "r"}, Credential{Type: "keyPair", KeyPair: &KeyPair{"id", "sec"}}, true},
			`{"Location":{"type":"s3Compliant","bucket":"b","endpoint":"https://e","prefix":"p","region":"r"},"Credential":{"Type":"keyPair","KeyPair":{"ID":"id","Secret":"sec"},"Secret":null,"KopiaServerSecret":null},"SkipSSLVerify":true}`,
		},
		{
			Profile{Location{Type: "s3Compliant"}, Credential{Type: "secret", Secret: &Secret{
				ObjectMeta: ObjectMeta{Name: "s", Namespace: "n"}, Type: "secrets.kanister.io/aws",
				Data: map[string][]byte{"aws_secret_access_key": []byte("sec"), "aws_access_key_id": []byte("id")},
			}}, true},
			`{"Location":{"type":"s3Compliant","bucket":"","endpoint":"","prefix":"","region":""},"Credential":{"Type":"secret","KeyPair":null,"Secret":{"metadata":{"name":"s","namespace":"n","creationTimestamp":null},"data":{"aws_access_key_id":"aWQ=","aws_secret_access_key":"c2Vj"},"type":"secrets.kanister.io/aws"},"KopiaServerSecret":null},"SkipSSLVerify":true}`,
		},
		{
			Profile{Location{Type: "kopia", Endpoint: "https://srv:51515"}, Credential{Type: "kopia", KopiaServerSecret: &KopiaServerSecret{"u", "h", "pw", "PEM", map[string]int{"dataStoreGeneralContentCacheSize": 0}}}, true},
			`{"Location":{"type":"kopia","bucket":"","endpoint":"https://srv:51515","prefix":"","region":""},"Credential":{"Type":"kopia","KeyPair":null,"Secret":null,"KopiaServerSecret":{"Username":"u","Hostname":"h","Password":"pw","Cert":"PEM","ConnectOptions":{"dataStoreGeneralContentCacheSize":0}}},"SkipSSLVerify":true}`,
		},
		{
			Profile{Location: Location{Bucket: "<&>"}, Credential: Credential{Type: "keyPair"}},
			`{"Location":{"type":"","bucket":"\u003c\u0026\u003e","endpoint":"","prefix":"","region":""},"Credential":{"Type":"keyPair","KeyPair":null,"Secret":null,"KopiaServerSecret":null},"SkipSSLVerify":false}`,
		},
	} {
		got, err := render(t, `{{ toJson .Profile }}`, &Params{Profile: &c.profile})
		require.NoError(t, err)
		require.Equal(t, c.want, got)
	}
}
