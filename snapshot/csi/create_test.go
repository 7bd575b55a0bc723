package csi

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	k8stesting "k8s.io/client-go/testing"

	"github.com/davit-project/davit/snapshot"
)

func TestCreateMakesASnapshotOfTheDefaultClass(t *testing.T) {
	w := newWorld(t, nil, append(data(), class("other", otherDriver, defaultClass, "true"), class("plain", driverName))...)
	require.NoError(t, w.Check(t.Context(), request()))
	snaps, _ := w.counts(t)
	require.Zero(t, snaps, "Check makes nothing")
	require.NoError(t, w.Create(t.Context(), request()))
	vs := w.snap(t, "s")
	require.Equal(t, "data", *vs.Spec.Source.PersistentVolumeClaimName)
	require.Equal(t, "snaps", *vs.Spec.VolumeSnapshotClassName)
	require.Equal(t, map[string]string{"a": "b"}, vs.Labels)
	require.Equal(t, map[string]string{"note": "x", createdBy: "t"}, vs.Annotations, "a forged token does not count")
}

func TestCreateAdoptsByToken(t *testing.T) {
	w := newWorld(t, nil, data()...)
	require.NoError(t, w.Create(t.Context(), request()))
	require.NoError(t, w.Create(t.Context(), request()))
	other := request()
	other.Token = "u"
	err := w.Create(t.Context(), other)
	require.ErrorIs(t, err, snapshot.ErrExists)
	require.ErrorContains(t, err, `volumesnapshots ns/s: already exists, created by "t"`)

	require.NoError(t, w.kube.CoreV1().PersistentVolumeClaims("ns").Delete(t.Context(), "data", metav1.DeleteOptions{}))
	require.NoError(t, w.Create(t.Context(), request()), "the snapshot outlives its claim")
	require.ErrorIs(t, w.Create(t.Context(), other), snapshot.ErrNotFound)

	vs := w.snap(t, "s")
	vs.DeletionTimestamp, vs.Finalizers = ptr(metav1.Now()), []string{"x/y"}
	require.NoError(t, w.snapshots.Tracker().Update(schema.GroupVersionResource{Group: "snapshot.storage.k8s.io", Version: "v1", Resource: "volumesnapshots"}, vs, "ns"))
	require.ErrorIs(t, w.Create(t.Context(), request()), snapshot.ErrNotFound, "one that is on its way out is not adopted")
}

func TestClasses(t *testing.T) {
	const key = "backup.example.com/class"
	unbound := claim("data", "fast")
	unbound.Status.Phase, unbound.Spec.VolumeName = corev1.ClaimPending, ""
	late := storageClass("fast", driverName)
	late.VolumeBindingMode = ptr(storagev1.VolumeBindingWaitForFirstConsumer)
	lost := claim("data", "fast")
	lost.Status.Phase = corev1.ClaimLost
	going := claim("data", "fast")
	going.DeletionTimestamp, going.Finalizers = ptr(metav1.Now()), []string{"kubernetes.io/pvc-protection"}
	for _, tc := range []struct {
		name   string
		objs   []runtime.Object
		class  string
		key    string
		is     error
		says   string
		chosen string
	}{
		{name: "by name", objs: append(data(), class("mine", driverName)), class: "mine", chosen: "mine"},
		{name: "by name, of another driver", objs: append(data(), class("mine", otherDriver)), class: "mine", is: snapshot.ErrNoClass,
			says: `snapshot class "mine" is for driver "disk.example.com", but ns/data is on driver "dir.example.com"`},
		{name: "by name, absent", objs: data(), class: "mine", is: snapshot.ErrNoClass, says: `there is no snapshot class "mine"; there are snaps (driver dir.example.com)`},
		{name: "two defaults", objs: append(data(), class("more", driverName, defaultClass, "true")), is: snapshot.ErrNoClass, says: "more, snaps; name one"},
		{name: "no default", objs: append(data()[:3], class("a", driverName), class("b", otherDriver, defaultClass, "true")), is: snapshot.ErrNoClass,
			says: "there are a (driver dir.example.com), b (driver disk.example.com)"},
		{name: "no classes", objs: data()[:3], is: snapshot.ErrNoClass, says: "the cluster has no snapshot classes"},
		{name: "annotation of the storage class", key: key, chosen: "mine",
			objs: append([]runtime.Object{storageClass("fast", driverName, key, "mine"), class("mine", driverName)}, without(data(), "fast")...)},
		{name: "annotation of the storage class, wrong driver", key: key, is: snapshot.ErrNoClass, says: "is for driver",
			objs: append([]runtime.Object{storageClass("fast", driverName, key, "mine"), class("mine", otherDriver)}, without(data(), "fast")...)},
		{name: "annotation of the snapshot class goes before the default", key: key, chosen: "mine", objs: append(data(), class("mine", driverName, key, "true"))},
		{name: "annotation of another driver's class", key: key, chosen: "snaps", objs: append(data(), class("mine", otherDriver, key, "true"))},
		{name: "annotation is not asked for", chosen: "snaps", objs: append(data(), class("mine", driverName, key, "true"))},
		{name: "no claim", objs: without(data(), "data"), is: snapshot.ErrNotFound, says: "get persistentvolumeclaims ns/data: not found"},
		{name: "unbound claim", objs: append(without(data(), "data"), unbound), says: `not bound to a volume yet: it waits for storage class "fast"`},
		{name: "claim that waits for a pod", objs: append(without(without(data(), "data"), "fast"), unbound, late), says: "when a pod first uses it"},
		{name: "unbound claim without storage class", objs: append(without(without(data(), "data"), "fast"), unbound), says: `there is no storage class "fast"`},
		{name: "lost claim", objs: append(without(data(), "data"), lost), is: snapshot.ErrInvalid, says: `has lost its volume "pv-data"`},
		{name: "claim on its way out", objs: append(without(data(), "data"), going), is: snapshot.ErrInvalid, says: "claim ns/data is being deleted"},
		{name: "no CSI", objs: append(without(data(), "pv-data"), pv("pv-data", "")), is: snapshot.ErrInvalid, says: "volume pv-data of claim ns/data is not one of a CSI driver"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t, &Options{ClassAnnotation: tc.key}, tc.objs...)
			req := request()
			req.Class = tc.class
			err := w.Create(t.Context(), req)
			require.Equal(t, errText(w.Check(t.Context(), req)), errText(err), "Check tells the same")
			if tc.chosen != "" {
				require.NoError(t, err)
				require.Equal(t, tc.chosen, *w.snap(t, "s").Spec.VolumeSnapshotClassName)
				return
			}
			require.ErrorContains(t, err, tc.says)
			if tc.is != nil {
				require.ErrorIs(t, err, tc.is)
			}
			snaps, _ := w.counts(t)
			require.Zero(t, snaps, "nothing is made")
		})
	}
}

// What the server would refuse is refused by Check already: when it is asked for, an application is held.
func TestNamesAndLabelsAreCheckedBefore(t *testing.T) {
	for says, change := range map[string]func(*snapshot.Request){
		`create volumesnapshots ns/Data: `:                func(r *snapshot.Request) { r.Name = "Data" },
		"must be no more than 253":                        func(r *snapshot.Request) { r.Name = strings.Repeat("a", 254) },
		`label "a b": name part must consist`:             func(r *snapshot.Request) { r.Labels = map[string]string{"a b": "c"} },
		`label "a": value "-": a valid label must be`:     func(r *snapshot.Request) { r.Labels = map[string]string{"a": "-"} },
		`label "a": value "` + strings.Repeat("b", 64):    func(r *snapshot.Request) { r.Labels = map[string]string{"a": strings.Repeat("b", 64)} },
		`label "z/` + strings.Repeat("c", 64) + `": name`: func(r *snapshot.Request) { r.Labels = map[string]string{"z/" + strings.Repeat("c", 64): ""} },
	} {
		w := newWorld(t, nil, data()...)
		req := request()
		change(&req)
		err := w.Check(t.Context(), req)
		require.ErrorIs(t, err, snapshot.ErrInvalid, says)
		require.ErrorContains(t, err, says)
		require.EqualError(t, w.Create(t.Context(), req), err.Error())
		snaps, _ := w.counts(t)
		require.Zero(t, snaps)
	}
	w := newWorld(t, nil, data()...)
	req := request()
	req.Name, req.Labels = strings.Repeat("a", 253), map[string]string{"example.com/" + strings.Repeat("b", 63): strings.Repeat("c", 63), "d": ""}
	require.NoError(t, w.Create(t.Context(), req))
}

// without leaves out the object of a name.
func without(objs []runtime.Object, name string) (kept []runtime.Object) {
	for _, o := range objs {
		if o.(metav1.Object).GetName() != name {
			kept = append(kept, o)
		}
	}
	return kept
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// deny makes the fake refuse as an API server does.
func deny(f *k8stesting.Fake, verb, resource string) {
	f.PrependReactor(verb, resource, func(a k8stesting.Action) (bool, runtime.Object, error) {
		return true, nil, denied(verb, resource)
	})
}

func denied(verb, resource string) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{Status: metav1.StatusFailure, Code: 403, Reason: metav1.StatusReasonForbidden,
		Message: resource + ` "x" is forbidden: User "me" cannot ` + verb + ` resource "` + resource + `" in API group ""`}}
}

func TestTheStorageClassStandsInForAVolumeThatMayNotBeRead(t *testing.T) {
	w := newWorld(t, nil, data()...)
	deny(&w.kube.Fake, "get", "persistentvolumes")
	require.NoError(t, w.Create(t.Context(), request()))
	deny(&w.kube.Fake, "get", "storageclasses")
	err := w.Check(t.Context(), request())
	require.ErrorIs(t, err, snapshot.ErrDenied)
	require.ErrorContains(t, err, "get persistentvolumes pv-data")
	require.ErrorContains(t, err, "get storageclasses fast")
}

func TestRefusalsOfTheServer(t *testing.T) {
	gr := schema.GroupResource{Group: "snapshot.storage.k8s.io", Resource: "volumesnapshots"}
	for _, tc := range []struct {
		name string
		err  error
		is   error
		says string
	}{
		{"denied", denied("create", "volumesnapshots"), snapshot.ErrDenied, "create volumesnapshots ns/s: permission denied"},
		{"no CRDs", apierrors.NewGenericServerResponse(404, "post", gr, "", "404 page not found", 0, true), snapshot.ErrUnsupported, "install the custom resource definitions"},
		{"invalid", apierrors.NewInvalid(schema.GroupKind{Kind: "VolumeSnapshot"}, "s", nil), snapshot.ErrInvalid, "create volumesnapshots ns/s"},
		{"quota", apierrors.NewForbidden(gr, "s", errors.New("exceeded quota: q")), nil, "exceeded quota"},
		{"policy", apierrors.NewForbidden(gr, "s", errors.New("not today")), snapshot.ErrInvalid, "not today"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(t, nil, data()...)
			w.snapshots.PrependReactor("create", "volumesnapshots", func(k8stesting.Action) (bool, runtime.Object, error) { return true, nil, tc.err })
			err := w.Create(t.Context(), request())
			require.ErrorContains(t, err, tc.says)
			for _, kind := range []error{snapshot.ErrDenied, snapshot.ErrUnsupported, snapshot.ErrInvalid, snapshot.ErrNotFound, snapshot.ErrExists} {
				if kind == tc.is { //nolint:errorlint // the table names the sentinel itself
					require.ErrorIs(t, err, kind)
				} else {
					require.NotErrorIs(t, err, kind)
				}
			}
		})
	}
}

func TestAClusterWithoutTheAPIIsNotOneWithoutTheSnapshot(t *testing.T) {
	w := newWorld(t, nil, data()...)
	w.snapshots.PrependReactor("*", "*", func(a k8stesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewGenericServerResponse(404, a.GetVerb(), a.GetResource().GroupResource(), "s", "404 page not found", 0, true)
	})
	ref := request().Ref
	_, err := w.Get(t.Context(), ref)
	require.ErrorIs(t, err, snapshot.ErrUnsupported)
	require.NotErrorIs(t, err, snapshot.ErrNotFound)
	require.ErrorContains(t, err, "get volumesnapshots ns/s: not supported by the driver: the cluster does not serve it: install the custom resource definitions volumesnapshots, ")
	require.ErrorIs(t, w.Delete(t.Context(), ref, "", ""), snapshot.ErrUnsupported)
	require.ErrorIs(t, w.DeleteContent(t.Context(), "c"), snapshot.ErrUnsupported)
	_, err = w.HasContent(t.Context(), "c")
	require.ErrorIs(t, err, snapshot.ErrUnsupported)
	_, err = w.List(t.Context(), "ns", nil)
	require.ErrorIs(t, err, snapshot.ErrUnsupported)
	require.ErrorIs(t, w.Check(t.Context(), request()), snapshot.ErrUnsupported)
}
