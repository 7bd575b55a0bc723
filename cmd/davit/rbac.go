package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/davit-project/davit/blueprint"
	"github.com/davit-project/davit/engine/rbac"
	"github.com/davit-project/davit/template"
)

// rbacFlags are the flags of davit rbac.
type rbacFlags struct {
	runFlags
	actions, profileSecrets []string
	account, name, output   string
}

func (p *program) rbacCommand() *cobra.Command {
	var f rbacFlags
	cmd := &cobra.Command{
		Use:   "rbac BLUEPRINT…",
		Short: "Print the Kubernetes roles that running a blueprint needs",
		Long: `Prints the Roles and RoleBindings that running the actions of blueprints needs on Kubernetes, and nothing more. It asks no cluster.

They hold what the functions of the phases need, and what filling the parameters takes: reading the subject and its pods, the secrets and config maps that
phases name, the profile with its secret. The more the flags say, the less is given: with --statefulset shop/db only that one can be read and scaled; without,
all StatefulSets of --namespace. What cannot be known before a run is wider than needed, with a comment that says so, or left out; each is a
warning on standard error.

A run also masks the secrets that the subject's pods and podOverrides use in what commands print. To read those is not in the roles: where davit may not, it
goes on and they are not masked.

Give davit run the same --namespace: pods whose phase names no namespace are created there.

Exit codes: 0 done (there may be warnings), 2 wrong usage or a file that holds no blueprint.`,
		Example: `  davit rbac bp.yaml --namespace shop | kubectl apply -f -
  davit rbac bp.yaml --action backup --statefulset shop/db --profile shop/backups --profile-secret shop/s3 --service-account ops/davit`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, files []string) error { return p.rbac(&f, files) },
	}
	flags := cmd.Flags()
	flags.StringSliceVarP(&f.actions, "action", "a", nil, "`NAME` of an action; repeat it for several (default all)")
	flags.StringVarP(&f.namespace, "namespace", "n", "default", "namespace of the subject, the profile and pods that are named without one")
	f.bindObjects(flags)
	flags.StringVarP(&f.profile, "profile", "p", "", "profile, `[NAMESPACE/]NAME`")
	f.bindReferences(flags)
	flags.StringArrayVar(&f.options, "option", nil, "option, `KEY=VALUE`; one in each flag")
	flags.StringSliceVar(&f.profileSecrets, "profile-secret", nil, "secret that the profile's credential names, `[NAMESPACE/]NAME` (default any of the profile's namespace)")
	flags.StringVar(&f.kube.moverImage, "mover-image", "", "`IMAGE` that davit run is given for the pods that move data: BackupData may run one then")
	flags.StringVar(&f.account, "service-account", "", "service account that davit runs as, `NAMESPACE/NAME` (default davit in --namespace)")
	flags.StringVar(&f.name, "name", "", "`NAME` of the roles and bindings (default davit, and the blueprint's name where there is one blueprint)")
	flags.StringVarP(&f.output, "output", "o", "yaml", "`FORMAT`: yaml or json; only yaml has comments")
	return cmd
}

func (p *program) rbac(f *rbacFlags, files []string) error {
	if f.output != "yaml" && f.output != "json" {
		return fmt.Errorf("--output %q: want yaml or json", f.output)
	}
	blueprints, err := p.readBlueprints(files)
	if err != nil {
		return err
	}
	grant := &grant{name: roleName(f.name, blueprints)}
	if grant.account, err = f.serviceAccount(); err != nil {
		return err
	}
	needs, err := f.needs(blueprints)
	if err != nil {
		return err
	}
	grant.unknown, grant.roles = needs.Unknown, needs.Roles()
	warnings := grant.warnings()
	for _, warning := range warnings {
		_, _ = fmt.Fprintf(p.stderr, "davit rbac: %s\n", printable(warning))
	}
	if len(warnings) > 0 {
		_, _ = fmt.Fprintln(p.stderr, "davit rbac: the flags that say what to run (--statefulset, --profile, --profile-secret, --secret, --option, …) make it exact")
	}
	if f.output == "json" {
		enc := json.NewEncoder(p.stdout)
		enc.SetIndent("", "  ")
		return enc.Encode(grant.list())
	}
	text, err := grant.yaml()
	if err != nil {
		return err
	}
	_, err = p.stdout.Write(text)
	return err
}

// readBlueprints reads files that hold blueprints.
func (p *program) readBlueprints(files []string) ([]*blueprint.Blueprint, error) {
	var all []*blueprint.Blueprint
	var errs []error
	for _, name := range files {
		file, err := p.parseFile("a blueprint", name)
		if err == nil {
			err = file.Err()
		}
		if err == nil && len(file.Blueprints) == 0 {
			err = fmt.Errorf("%q holds no blueprint", name)
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		all = append(all, named(file, name)...)
	}
	return all, errors.Join(errs...)
}

// needs is what the actions that the flags name need, each on every object.
func (f *rbacFlags) needs(blueprints []*blueprint.Blueprint) (*rbac.Permissions, error) {
	req, err := f.request()
	if err != nil {
		return nil, err
	}
	req.inNamespace(f.namespace)
	opts := &rbac.Options{Namespace: f.namespace}
	var errs []error
	for _, text := range f.profileSecrets {
		ref := template.ObjectReference{Name: text}
		if strings.Contains(text, "/") || text == "" {
			ref, err = namespaced("Secret", text)
			errs = append(errs, err)
		}
		opts.ProfileSecrets = append(opts.ProfileSecrets, ref)
	}
	reg, err := registryFor(f.namespace, f.kube.moverImage)
	errs = append(errs, err)
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	objects := req.objects
	if len(objects) == 0 {
		objects = []template.ObjectReference{{}}
	}
	var all []*rbac.Permissions
	found := map[string]bool{}
	for _, bp := range blueprints {
		for _, name := range bp.ActionNames {
			if len(f.actions) > 0 && !slices.Contains(f.actions, name) {
				continue
			}
			found[name] = true
			for _, object := range objects {
				spec := blueprint.ActionSpec{Name: name, Blueprint: bp.Name, Object: object, Profile: req.profile, Secrets: req.secrets, ConfigMaps: req.configMaps,
					Options: req.options, Artifacts: req.artifacts, PreferredVersion: req.version}
				needs, err := rbac.Of(reg, bp, spec, opts)
				errs = append(errs, err)
				if err == nil {
					all = append(all, needs)
				}
			}
		}
	}
	for _, name := range f.actions {
		if !found[name] {
			errs = append(errs, fmt.Errorf("no blueprint has an action %q", name))
		}
	}
	return rbac.Join(all...), errors.Join(errs...)
}

func (f *rbacFlags) serviceAccount() (template.ObjectReference, error) {
	if f.account == "" {
		return template.ObjectReference{Namespace: f.namespace, Name: "davit"}, nil
	}
	ref, err := namespaced("service account", f.account)
	if err != nil {
		return ref, fmt.Errorf("--service-account: %w", err)
	}
	return ref, nil
}

// roleName is the name of roles: what the flag says, or davit and the blueprint's name.
func roleName(flag string, blueprints []*blueprint.Blueprint) string {
	if flag != "" || len(blueprints) != 1 {
		if flag == "" {
			flag = "davit"
		}
		return flag
	}
	name := strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '.' {
			return c
		}
		return '-'
	}, strings.ToLower(blueprints[0].Name))
	return strings.TrimRight("davit-"+strings.Trim(name, "-."), "-")
}
