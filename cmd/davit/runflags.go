package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/davit-project/davit/engine"
	"github.com/davit-project/davit/template"
)

// runFlags are the flags of davit run as they were given; davit plan and davit rbac take some of them.
type runFlags struct {
	blueprints, local                                  []string
	actionSet, from                                    string
	action, namespace, profile, version                string
	objects, resources                                 []string
	deployments, statefulSets, deploymentConfigs, pvcs []string
	namespaces                                         []string
	options, artifacts, secrets, configMaps            []string
	state, run, onUnknown                              string
	verbose, catalog                                   bool
	allowDefaultKey                                    bool
	parallel                                           int
	dumpCA                                             string
	rdsWait                                            time.Duration
	kube                                               kubeFlags
}

func (f *runFlags) bind(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringArrayVarP(&f.blueprints, "blueprint", "b", nil, "`FILE` with blueprints; repeat it for several")
	flags.StringVarP(&f.actionSet, "filename", "f", "", "`FILE` with an action set that says what to run; flags change it")
	flags.StringVar(&f.from, "from", "", "run whose blueprint, objects, artifacts, options and references are taken over; flags change them")
	flags.StringVarP(&f.action, "action", "a", "", "`NAME` of the action")
	flags.StringVarP(&f.profile, "profile", "p", "", "profile, `[NAMESPACE/]NAME`")
	f.bindTo(cmd)
	cmd.MarkFlagsMutuallyExclusive("filename", "from")
}

// bindTo binds the flags that say on what and how an action runs.
func (f *runFlags) bindTo(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVarP(&f.namespace, "namespace", "n", "", "namespace of pods whose phase names none, and of a profile named without one (default that of the kubeconfig's context; default with --local)")
	f.bindObjects(flags)
	flags.StringArrayVarP(&f.options, "option", "o", nil, "option, `KEY=VALUE`; one in each flag")
	f.bindReferences(flags)

	flags.StringSliceVar(&f.local, "local", nil, "run on this machine, with the objects of these `MANIFESTS`, files or folders; resumed runs and --from know their own")
	f.kube.bind(flags)
	flags.StringVar(&f.state, "state", "", "`FOLDER` of journals (default $XDG_STATE_HOME/davit or ~/.local/state/davit)")
	flags.StringVar(&f.run, "run", "", "`ID` of the run: resumed when its journal is there, else the name of a new one (default generated)")
	flags.StringVar(&f.onUnknown, "on-unknown", "fail", "what becomes of a phase that is not safe to repeat and whose outcome a crash hid: `fail` or rerun")
	flags.BoolVar(&f.allowDefaultKey, "allow-default-key", false, "open repositories of Kanister that have its public password; a new one never has it")
	flags.IntVar(&f.parallel, "parallel", 0, "`NUMBER` of pods whose volumes are backed up or restored at once (default 4)")
	flags.StringVar(&f.dumpCA, "dump-ca", "", "`FILE` of the authorities, in PEM, that sign the certificates of RDS's databases, which AWS publishes: dumps verify the server then (default they only encrypt)")
	flags.DurationVar(&f.rdsWait, "rds-wait", 0, "longest `TIME` for one step of RDS, such as the snapshot or the restore of a large database: 3h (default 20m, and 1h for Aurora)")
	flags.BoolVar(&f.verbose, "verbose", false, "write what functions and containers say to standard error")
	for _, name := range kubeOnly {
		cmd.MarkFlagsMutuallyExclusive("local", name)
	}
}

// bindObjects binds the flags that name objects.
func (f *runFlags) bindObjects(flags *pflag.FlagSet) {
	flags.StringSliceVar(&f.objects, "object", nil, "object as `KIND/NAMESPACE/NAME`, or namespace/NAME")
	flags.StringSliceVarP(&f.deployments, "deployment", "d", nil, "object: a Deployment, `NAMESPACE/NAME`")
	flags.StringSliceVarP(&f.statefulSets, "statefulset", "t", nil, "object: a StatefulSet, `NAMESPACE/NAME`")
	flags.StringSliceVarP(&f.deploymentConfigs, "deploymentconfig", "D", nil, "object: a DeploymentConfig, `NAMESPACE/NAME`")
	flags.StringSliceVarP(&f.pvcs, "pvc", "v", nil, "object: a persistent volume claim, `NAMESPACE/NAME`")
	flags.StringSliceVarP(&f.namespaces, "namespacetargets", "T", nil, "object: a namespace, `NAME`")
	flags.StringSliceVarP(&f.resources, "objects", "O", nil, "object of any kind, `GROUP/VERSION/RESOURCE/NAMESPACE/NAME`")
}

// bindReferences binds the flags that name what templates read beside the object.
func (f *runFlags) bindReferences(flags *pflag.FlagSet) {
	flags.StringArrayVar(&f.artifacts, "artifact", nil, "input artifact, `NAME.KEY=VALUE`; one in each flag")
	flags.StringSliceVarP(&f.secrets, "secret", "s", nil, "secret, `REF=NAMESPACE/NAME`")
	flags.StringSliceVarP(&f.configMaps, "config-map", "c", nil, "config map, `REF=NAMESPACE/NAME`")
	flags.StringVar(&f.version, "function-version", "", "`VERSION` of functions to prefer")
}

// asks are the flags that say what to run; a run that is resumed has all that in its journal.
var asks = []string{
	"blueprint", "filename", "from", "action", "object", "deployment", "statefulset", "deploymentconfig", "pvc",
	"namespacetargets", "objects", "option", "artifact", "profile", "secret", "config-map", "function-version",
}

// request reads the flags that say what to run. All mistakes are reported, joined.
func (f *runFlags) request() (*request, error) {
	r := &request{action: f.action, version: f.version}
	var errs []error
	keep := func(err error) { errs = append(errs, err) }
	var err error
	r.options, err = parsePairs("option", f.options)
	keep(err)
	r.artifacts, err = parseArtifacts(f.artifacts)
	keep(err)
	r.secrets, err = parseRefs("Secret", f.secrets)
	keep(err)
	r.configMaps, err = parseRefs("ConfigMap", f.configMaps)
	keep(err)
	if f.profile != "" {
		r.profile, err = parseProfile(f.profile)
		keep(err)
	}
	r.objects, err = f.targets()
	keep(err)
	return r, errors.Join(errs...)
}

// targets reads the objects of all flags that name some.
func (f *runFlags) targets() ([]template.ObjectReference, error) {
	var refs []template.ObjectReference
	var errs []error
	add := func(texts []string, parse func(string) (template.ObjectReference, error)) {
		for _, text := range texts {
			ref, err := parse(text)
			refs, errs = append(refs, ref), append(errs, err)
		}
	}
	of := func(kind string) func(string) (template.ObjectReference, error) {
		return func(text string) (template.ObjectReference, error) { return namespaced(kind, text) }
	}
	add(f.objects, parseObject)
	add(f.deployments, of("Deployment"))
	add(f.statefulSets, of("StatefulSet"))
	add(f.deploymentConfigs, of("DeploymentConfig"))
	add(f.pvcs, of("PVC"))
	add(f.namespaces, namespaceRef)
	add(f.resources, parseResource)
	return refs, errors.Join(errs...)
}

func (f *runFlags) unknown() (engine.Unknown, error) {
	switch f.onUnknown {
	case "fail":
		return engine.UnknownFails, nil
	case "rerun":
		return engine.UnknownReruns, nil
	default:
		return 0, fmt.Errorf("--on-unknown %q: want fail or rerun", f.onUnknown)
	}
}
