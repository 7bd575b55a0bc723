package data

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/davit-project/davit/cluster"
	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/function/functiontest"
	"github.com/davit-project/davit/internal/mover"
	"github.com/davit-project/davit/location"
	"github.com/davit-project/davit/location/repository"
)

// fill writes files to a folder.
func fill(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		full := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(full), 0o750))
		require.NoError(t, os.WriteFile(full, []byte(content), 0o640))
	}
}

// content is what a folder holds.
func content(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(name)
		rel, _ := filepath.Rel(dir, name)
		all[rel] = string(text)
		return err
	}))
	return all
}

func empty(t testing.TB, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		require.NoError(t, os.RemoveAll(filepath.Join(dir, e.Name())))
	}
}

// TestFamily goes through all functions as a blueprint does.
func TestFamily(t *testing.T) {
	t.Parallel()
	h := newFakeHost(t)
	d := h.deps()
	files := map[string]string{"a": "alpha", "deep/er/b": strings.Repeat("beta", 1000)}
	fill(t, h.claim("data-db-0"), files)
	fill(t, h.claim("data-db-1"), map[string]string{"c": "gamma"})
	const key = "canary-key"
	with := func(more map[string]any) map[string]any {
		args := map[string]any{"namespace": "app", "encryptionKey": key}
		for name, v := range more {
			args[name] = v
		}
		return args
	}
	run := func(name, id string, args map[string]any) function.Outputs {
		t.Helper()
		out, rec, err := h.run(t, d, name, id, with(args))
		require.NoError(t, err)
		require.NotContains(t, rec.Log(), key)
		return out
	}

	all := run("BackupDataAll", "all", map[string]any{"container": "db", "includePath": "/var/data", "backupArtifactPrefix": "repos/all"})
	require.Equal(t, "v0.0.0", all["version"])
	var info map[string]map[string]string
	require.NoError(t, json.Unmarshal([]byte(all["BackupAllInfo"].(string)), &info))
	require.Len(t, info, 2)
	for pod, of := range info {
		require.Len(t, of, 3)
		require.Equal(t, pod, of["PodName"])
		require.Regexp(t, "^[0-9a-f]{8}$", of["BackupID"])
		require.Regexp(t, "^davit-", of["BackupTag"])
		require.FileExists(t, filepath.Join(h.store(), "repos/all", pod, "config"), "right below the bucket")
	}

	empty(t, h.claim("data-db-0"))
	fill(t, h.claim("data-db-1"), map[string]string{"c": "overwritten", "new": "stays"})
	run("RestoreDataAll", "restore", map[string]any{
		"image": "x", "backupArtifactPrefix": h.store() + "/repos/all", "backupInfo": all["BackupAllInfo"], // with the bucket here, without it above
	})
	require.Equal(t, files, content(t, h.claim("data-db-0")))
	require.Equal(t, map[string]string{"c": "gamma", "new": "stays"}, content(t, h.claim("data-db-1")))

	copied := run("CopyVolumeData", "copy", map[string]any{"volume": "data-db-0", "dataArtifactPrefix": "vol"})
	require.Equal(t, "/mnt/vol_data/data-db-0", copied["backupRoot"])
	require.Equal(t, h.store()+"/vol", copied["backupArtifactLocation"])
	require.Equal(t, []any{"2", "3.911 KiB", "v0.0.0"}, []any{copied["fileCount"], copied["size"], copied["version"]})
	require.Regexp(t, `^\d\.\d{3} KiB$`, copied["phySize"])

	run("RestoreData", "volumes", map[string]any{
		"image": "x", "backupArtifactPrefix": "vol", "volumes": map[string]any{"other": "/elsewhere/mnt"}, "backupTag": copied["backupTag"],
		"backupPath": "/mnt/vol_data/data-db-0/deep", "restorePath": "/elsewhere/mnt/within",
	})
	require.Equal(t, map[string]string{"within/er/b": files["deep/er/b"]}, content(t, h.claim("other")))

	stats := run("BackupDataStats", "stats", map[string]any{"backupArtifactPrefix": "vol", "backupID": copied["backupID"]})
	require.Equal(t, function.Outputs{"mode": "restore-size", "fileCount": "7", "size": "3.911 KiB", "version": "v0.0.0"}, stats, "folders count too, as restic counts")

	check := func(prefix, password string) function.Outputs {
		out, _, err := h.run(t, d, "CheckRepository", "check"+prefix+password, map[string]any{"backupArtifactPrefix": prefix, "encryptionKey": password})
		require.NoError(t, err)
		return out
	}
	require.Equal(t, function.Outputs{"passwordIncorrect": "false", "repoUnavailable": "false", "version": "v0.0.0"}, check("vol", key))
	require.Equal(t, function.Outputs{"passwordIncorrect": "true", "repoUnavailable": "false", "version": "v0.0.0"}, check("vol", "other"))
	require.Equal(t, function.Outputs{"passwordIncorrect": "false", "repoUnavailable": "true", "version": "v0.0.0"}, check("none", key))

	deleted := run("DeleteData", "delete", map[string]any{"backupArtifactPrefix": "vol repos/all/db-0", "backupID": copied["backupID"].(string) + " " + info["db-0"]["BackupID"], "reclaimSpace": true})
	require.Regexp(t, `^[1-9]\d* B$`, deleted["spaceFreed"])
	again := run("DeleteData", "again", map[string]any{"backupArtifactPrefix": "vol", "backupID": copied["backupID"]})
	require.Equal(t, "0 B", again["spaceFreed"], "what is gone is gone")
	deleted = run("DeleteDataAll", "deleteall", map[string]any{"backupArtifactPrefix": "repos/all", "backupInfo": all["BackupAllInfo"], "reclaimSpace": true})
	require.Regexp(t, `^[1-9]\d* B$`, deleted["spaceFreed"])

	require.ElementsMatch(t, h.ran, h.removed, "no pod is left")
	require.NotContains(t, strings.Join(h.seen, "\n"), key)
	_, _, err := h.run(t, d, "RestoreData", "gone", with(map[string]any{"image": "x", "backupArtifactPrefix": "vol", "pod": "db-0", "backupIdentifier": copied["backupID"]}))
	require.ErrorIs(t, err, repository.ErrNoSnapshot)
	require.True(t, function.IsPermanent(err))
}

// TestMovers backs up with each mover, and restores.
func TestMovers(t *testing.T) {
	t.Parallel()
	files := map[string]string{"a": "alpha", "deep/er/b": "beta", "odd \n name": "x"}
	for name, c := range map[string]struct {
		change func(h *fakeHost, d *Deps)
		pods   int
	}{
		"agent":               {func(*fakeHost, *Deps) {}, 0},
		"no agent, so a pod":  {func(h *fakeHost, _ *Deps) { h.bare = true }, 1},
		"the host wants exec": {func(_ *fakeHost, d *Deps) { d.Movers = []Mover{MoverExec} }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newFakeHost(t)
			d := h.deps()
			c.change(h, &d)
			fill(t, h.claim("data-db-0"), files)
			args := map[string]any{"namespace": "app", "pod": "db-0", "container": "db", "includePath": "/var/data", "backupArtifactPrefix": "repo"}
			first, rec, err := h.run(t, d, "BackupData", "first", args)
			require.NoError(t, err)
			require.Equal(t, "3", first["fileCount"])
			require.Len(t, h.ran, c.pods)
			password := h.onlyPassword(t)
			require.NotContains(t, rec.Log()+strings.Join(h.seen, "\n"), password)

			fill(t, h.claim("data-db-0"), map[string]string{"a": "changed"})
			second, _, err := h.run(t, d, "BackupData", "second", args)
			require.NoError(t, err)
			require.NotEqual(t, first["backupTag"], second["backupTag"])
			for id, want := range map[string]string{"first": "alpha", "second": "changed"} {
				empty(t, h.claim("data-db-0"))
				tag := map[string]function.Outputs{"first": first, "second": second}[id]["backupID"]
				d.MoverImage = "davit:1"
				_, _, err = h.run(t, d, "RestoreData", "restore"+id, map[string]any{
					"namespace": "app", "image": "x", "pod": "db-0", "backupArtifactPrefix": "repo", "backupIdentifier": tag,
				})
				require.NoError(t, err)
				got := content(t, h.claim("data-db-0"))
				require.Equal(t, map[string]string{"a": want, "deep/er/b": "beta", "odd \n name": "x"}, got)
			}
		})
	}
}

// onlyPassword is that of the only repository of the key store.
func (h *fakeHost) onlyPassword(t testing.TB) string {
	t.Helper()
	require.Len(t, h.secrets, 1)
	for name, s := range h.secrets {
		require.Regexp(t, "^davit-repository-[0-9a-f]{16}$", name)
		key, err := SecretKeys(h, "keys").Key(t.Context(), s["metadata"].(map[string]any)["annotations"].(map[string]any)[placeNote].(string))
		require.NoError(t, err)
		require.Greater(t, len(key.Reveal()), 40)
		return key.Reveal()
	}
	return ""
}

// TestBackupIsTakenUpAgain makes one snapshot of an attempt that was interrupted after it was made.
func TestBackupIsTakenUpAgain(t *testing.T) {
	t.Parallel()
	for _, m := range []Mover{MoverPod, MoverExec} {
		t.Run(string(m), func(t *testing.T) {
			t.Parallel()
			h := newFakeHost(t)
			d := h.deps()
			d.Movers = []Mover{m}
			fill(t, h.claim("data-db-0"), map[string]string{"a": "alpha"})
			all := Functions(d)
			attempt := func(resumed bool) function.Outputs {
				call, _ := functiontest.NewCall("id")
				h.call(call)
				call.Resumed = resumed
				out, err := all[1].Exec(t.Context(), call, map[string]any{
					"namespace": "app", "pod": "db-0", "container": "db", "includePath": "/var/data", "backupArtifactPrefix": "repo", "encryptionKey": "k",
				})
				require.NoError(t, err)
				return out
			}
			first := attempt(true) // there was nothing to take up
			require.Equal(t, first, attempt(true))
			require.NotEqual(t, first["backupID"], attempt(false)["backupID"])
		})
	}
}

// TestPasswords says which password a repository has.
func TestPasswords(t *testing.T) {
	t.Parallel()
	h := newFakeHost(t)
	fill(t, h.claim("data-db-0"), map[string]string{"a": "alpha"})
	backup := func(d Deps, prefix, key string) error {
		args := map[string]any{"namespace": "app", "pod": "db-0", "container": "db", "includePath": "/var/data", "backupArtifactPrefix": prefix}
		if key != "" {
			args["encryptionKey"] = key
		}
		_, _, err := h.run(t, d, "BackupData", prefix+key, args)
		return err
	}
	d := h.deps()
	noKeys := d
	noKeys.Keys = nil
	allowed := noKeys
	allowed.AllowDefaultKey = true

	err := backup(noKeys, "new", "")
	require.ErrorContains(t, err, "a new repository at")
	require.ErrorContains(t, err, "encryptionKey")
	require.True(t, function.IsPermanent(err))
	require.Error(t, backup(allowed, "new", ""), "the public password never makes one")
	require.NoDirExists(t, filepath.Join(h.store(), "new"))

	require.NoError(t, backup(noKeys, "kanisters", kanistersKey), "who insists")
	err = backup(noKeys, "kanisters", "")
	require.ErrorContains(t, err, "AllowDefaultKey")
	require.True(t, function.IsPermanent(err))
	require.NotContains(t, err.Error(), kanistersKey)
	require.NoError(t, backup(allowed, "kanisters", ""))

	require.NoError(t, backup(d, "kept", ""))
	require.NoError(t, backup(d, h.store()+"/kept", ""), "the same place by another name")
	require.NoError(t, backup(d, "/kept/", h.onlyPassword(t)))
	err = backup(d, "kept", "wrong")
	require.ErrorIs(t, err, repository.ErrPassword)
	require.True(t, function.IsPermanent(err))
	require.ErrorContains(t, backup(d, "../out", "k"), "must not have ..")
}

// TestPodWithoutAWord fails where a pod ends well without having said what it did.
func TestPodWithoutAWord(t *testing.T) {
	t.Parallel()
	reply := string(mover.Reply{Result: mover.Result{Snapshot: strings.Repeat("a", 64)}}.Line())
	for text, good := range map[string]bool{"": false, "hello\n": false, reply[:len(reply)/2]: false, strings.TrimSuffix(reply, "\n"): false, reply: true} {
		h := newFakeHost(t)
		h.silent = &text
		_, _, err := h.run(t, h.deps(), "CopyVolumeData", "id", map[string]any{"namespace": "app", "volume": "v", "dataArtifactPrefix": "p", "encryptionKey": "k"})
		if good {
			require.NoError(t, err)
			continue
		}
		require.ErrorContains(t, err, "ended without a word", text)
		require.Equal(t, h.ran, h.removed)
	}
}

// TestUnreadableFilesFailTheBackup leaves no snapshot that would be taken for a whole one.
func TestUnreadableFilesFailTheBackup(t *testing.T) {
	t.Parallel()
	if os.Geteuid() == 0 {
		t.Log("root reads everything: nothing is tested")
		return
	}
	h := newFakeHost(t)
	fill(t, h.claim("data-db-0"), map[string]string{"a": "alpha", "b": "beta"})
	require.NoError(t, os.Chmod(filepath.Join(h.claim("data-db-0"), "b"), 0))
	args := map[string]any{"namespace": "app", "pod": "db-0", "container": "db", "includePath": "/var/data", "backupArtifactPrefix": "repo", "encryptionKey": "k"}
	for _, m := range []Mover{MoverAgent, MoverPod, MoverExec} {
		d := h.deps()
		d.Movers = []Mover{m}
		_, _, err := h.run(t, d, "BackupData", string(m), args)
		require.ErrorIs(t, err, repository.ErrIncomplete)
		snapshots, err := os.ReadDir(filepath.Join(h.store(), "repo", "snapshots"))
		require.NoError(t, err)
		require.Empty(t, snapshots)
	}
}

// TestRestoreOfNothing is an error: nothing of the snapshot is on the volumes.
func TestRestoreOfNothing(t *testing.T) {
	t.Parallel()
	h := newFakeHost(t)
	fill(t, h.claim("data-db-0"), map[string]string{"a": "alpha"})
	out, _, err := h.run(t, h.deps(), "BackupData", "b", map[string]any{
		"namespace": "app", "pod": "db-0", "container": "db", "includePath": "/var/data", "backupArtifactPrefix": "repo",
	})
	require.NoError(t, err)
	_, _, err = h.run(t, h.deps(), "RestoreData", "r", map[string]any{
		"namespace": "app", "image": "x", "volumes": map[string]any{"v": "/other"}, "backupArtifactPrefix": "repo", "backupIdentifier": out["backupID"],
	})
	require.ErrorIs(t, err, mover.ErrNothing)
	require.ErrorContains(t, err, `has the paths ["/var/data"]`, "and says what could be restored")
}

// TestBackupDataIsAFunction runs the checks that all functions have to pass.
func TestBackupDataIsAFunction(t *testing.T) {
	t.Parallel()
	var h *fakeHost
	require.NoError(t, functiontest.Run(t.Context(), functiontest.Subject{
		New: func() functiontest.Function {
			h = newFakeHost(t)
			fill(t, h.claim("data-db-0"), map[string]string{"a": "alpha"})
			return backupData(h.deps().withDefaults())
		},
		Args: func(n int) map[string]any {
			return map[string]any{
				"namespace": "app", "pod": "db-0", "container": "db", "includePath": "/var/data", "encryptionKey": "canary", "backupArtifactPrefix": fmt.Sprintf("repo/%d", n),
			}
		},
		Call:     func(c *function.Call) { h.call(c) },
		Volatile: true, // snapshots have times
	}))
}

func TestPlaces(t *testing.T) {
	t.Parallel()
	s3 := `{"Location":{"type":"s3Compliant","bucket":"bucket","endpoint":"https://S3.example.com/","prefix":"p","region":"r"},"Credential":{"Type":"keyPair","KeyPair":{"ID":"i","Secret":"s"}}}`
	for prefix, want := range map[string]string{
		"a/b": "a/b", "bucket/a/b": "a/b", "/a/b/": "a/b", "bucket": "", "bucket2/a": "bucket2/a", "bucket/bucket/a": "bucket/a", "a//b/./c": "a/b/c",
	} {
		call, _ := functiontest.NewCall("id")
		call.Profile = function.NewSecret(s3)
		p, err := placeOf(call, prefix, true)
		require.NoError(t, err)
		require.Equal(t, want, p.path, prefix)
		require.Equal(t, strings.TrimSuffix("bucket/"+want, "/"), p.full)
		require.Equal(t, "s3Compliant s3.example.com "+p.full, p.name)
		loc, err := location.ParseProfile(p.profile)
		require.NoError(t, err)
		require.Empty(t, loc.Prefix)
		require.True(t, loc.SkipSSLVerify)
	}
	call, _ := functiontest.NewCall("id")
	_, err := placeOf(call, "a", false)
	require.ErrorContains(t, err, "the action has no profile")
	require.True(t, function.IsPermanent(err))
}

// TestFit looks at what a pod gets of the application's.
func TestFit(t *testing.T) {
	t.Parallel()
	app := func(spec string) *application {
		var object map[string]any
		require.NoError(t, json.Unmarshal([]byte(`{"spec":`+spec+`}`), &object))
		a := &application{node: "n1"}
		require.NoError(t, decode(object["spec"].(map[string]any), &a.spec))
		return a
	}
	a := app(`{"securityContext":{"runAsUser":70,"fsGroup":71},"tolerations":[{"key":"k"}],"containers":[{"name":"c","securityContext":{"runAsGroup":72}}]}`)
	got, err := a.fit(a.container("c"), "/data")
	require.NoError(t, err)
	text, err := json.Marshal(got)
	require.NoError(t, err)
	require.JSONEq(t, `{"securityContext":{"runAsUser":70,"runAsGroup":72,"fsGroup":71},"tolerations":[{"key":"k"}],
		"containers":[{"name":"container","volumeMounts":[{"mountPath":"/data","readOnly":true}]}],
		"affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[{"matchFields":[{"key":"metadata.name","operator":"In","values":["n1"]}]}]}}}}`, string(text))
	got, err = (&application{}).fit(nil)
	require.NoError(t, err)
	text, err = json.Marshal(got)
	require.NoError(t, err)
	require.JSONEq(t, `{"securityContext":{"runAsUser":0},"containers":[{"name":"container",
		"securityContext":{"capabilities":{"add":["CHOWN","DAC_OVERRIDE","FOWNER","FSETID","SETFCAP"],"drop":["ALL"]}}}]}`, string(text))

	a = app(`{"volumes":[{"name":"v","persistentVolumeClaim":{"claimName":"claim"}},{"name":"e","emptyDir":{}}],"containers":[{"name":"c","volumeMounts":[
		{"name":"v","mountPath":"/data"},{"name":"v","mountPath":"/part","subPath":"x"},{"name":"e","mountPath":"/tmp"},{"name":"e","mountPath":"/data/deep/cache"}]}]}`)
	for folder, want := range map[string]string{"/data/other": "claim /data", "/data/deep/er": "claim /data"} {
		claim, mount, err := a.claimOf(a.container("c"), folder)
		require.NoError(t, err)
		require.Equal(t, want, claim+" "+mount)
	}
	for folder, why := range map[string]string{
		"/data": "mounted below the folder", "/data/deep": "mounted below the folder", "/part": "not a whole claim", "/tmp/x": "not a whole claim", "/etc": "on no volume",
	} {
		_, _, err := a.claimOf(a.container("c"), folder)
		require.ErrorIs(t, err, errUnsuitable)
		require.ErrorContains(t, err, why)
	}
	require.ErrorIs(t, forGood(fmt.Errorf("x: %w", cluster.ErrInvalid)), cluster.ErrInvalid)
}

// TestLocationDeleteOfARepository deletes what BackupData has made, which is not below the profile's prefix, and nothing that only looks like it.
func TestLocationDeleteOfARepository(t *testing.T) {
	t.Parallel()
	h := newFakeHost(t)
	fill(t, h.claim("data-db-0"), map[string]string{"a": "alpha"})
	_, _, err := h.run(t, h.deps(), "BackupData", "b", map[string]any{
		"namespace": "app", "pod": "db-0", "container": "db", "includePath": "/var/data", "backupArtifactPrefix": "repo",
	})
	require.NoError(t, err)
	fill(t, h.store(), map[string]string{"files/data/x": "no repository", "a/prefix/below/x": "an object"})
	remove := func(artifact string) any {
		t.Helper()
		out, _, err := h.run(t, h.deps(), "LocationDelete", "d"+artifact, map[string]any{"artifact": artifact})
		require.NoError(t, err)
		return out["deleted"]
	}
	left := content(t, h.store())
	for _, artifact := range []string{"repo", h.store() + "/files", h.store() + "/repo2", h.store() + "/rep"} {
		require.EqualValues(t, 0, remove(artifact), artifact)
	}
	require.Equal(t, left, content(t, h.store()))
	require.EqualValues(t, 6, remove(h.store()+"/repo"), "config, key, index, snapshot, a pack of data and one of trees")
	require.Equal(t, map[string]string{"files/data/x": "no repository", "a/prefix/below/x": "an object"}, content(t, h.store()))
	require.EqualValues(t, 0, remove(h.store()+"/repo"), "again")
	require.EqualValues(t, 1, remove(h.store()+"/below"), "what is below the prefix comes first")
}

// TestSecretKeys keeps the first key, and refuses the secret of another repository.
func TestSecretKeys(t *testing.T) {
	t.Parallel()
	h := newFakeHost(t)
	keys := SecretKeys(h, "keys")
	none, err := keys.Key(t.Context(), "place")
	require.NoError(t, err)
	require.False(t, none.IsSet())
	for _, offered := range []string{"first", "second"} {
		kept, err := keys.Keep(t.Context(), "place", function.NewSecret(offered))
		require.NoError(t, err)
		require.Equal(t, "first", kept.Reveal())
	}
	h.secrets[secretName("other")] = h.secrets[secretName("place")]
	_, err = keys.Key(t.Context(), "other")
	require.ErrorContains(t, err, "is of the repository")
	require.NotContains(t, err.Error(), "first")
}
