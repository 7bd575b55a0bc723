package rds

import (
	"context"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/rds"
)

// checkGroups wants the parameter and option groups to exist. One that is of another version than the snapshot, as after an upgrade, gives way to the one
// that the database had when the snapshot was taken, or else to RDS's default.
func (r *restoring) checkGroups(ctx context.Context) error {
	before := recorded(r.snap.tags)
	if r.ref.cluster {
		if err := r.checkGroup(ctx, r.what(), parameterGroup, r.was.settings, before.settings, r.clusterFamily); err != nil {
			return err
		}
	} else {
		if err := r.checkGroup(ctx, r.what(), parameterGroup, r.was.settings, before.settings, r.family); err != nil {
			return err
		}
		if err := r.checkGroup(ctx, r.what(), optionGroup, r.was.settings, before.settings, r.optionFamily); err != nil {
			return err
		}
	}
	for _, m := range r.was.members {
		then := map[string]string{}
		for _, b := range before.members {
			if b.id == m.id {
				then = b.settings
			}
		}
		if err := r.checkGroup(ctx, "RDS instance "+m.id, parameterGroup, m.settings, then, r.family); err != nil {
			return err
		}
	}
	return nil
}

// checkGroup chooses one group.
func (r *restoring) checkGroup(ctx context.Context, what, kind string, want, before map[string]string, family func(context.Context, string) (string, error)) error {
	asked := want[kind]
	if asked == "" {
		return nil
	}
	for _, name := range []string{asked, before[kind]} {
		if name == "" {
			continue
		}
		of, err := family(ctx, name)
		switch {
		case isNotFound(err) || err == nil && of == "":
			return wrong("%s is to have the group of %s %q again, which RDS does not have any more: make it again, or remove the tags %s0, ... of %s to do without; "+
				"nothing was touched", what, kind, name, sourceTags, r.ref)
		case err != nil:
			return err
		}
		if fitsVersion(of, r.snap.engine, r.snap.version) {
			want[kind] = name
			return nil
		}
	}
	r.call.Log.WarnContext(ctx, "the group is of another version than the snapshot: what is restored has RDS's default", "what", what, "kind", kind, "group", asked, "version", r.snap.version)
	delete(want, kind)
	return nil
}

func (r *restoring) family(ctx context.Context, name string) (string, error) {
	out, err := ask(ctx, r.session, r.client.DescribeDBParameterGroups, &rds.DescribeDBParameterGroupsInput{DBParameterGroupName: &name})
	if err != nil || len(out.DBParameterGroups) == 0 {
		return "", err
	}
	return aws.ToString(out.DBParameterGroups[0].DBParameterGroupFamily), nil
}

func (r *restoring) clusterFamily(ctx context.Context, name string) (string, error) {
	out, err := ask(ctx, r.session, r.client.DescribeDBClusterParameterGroups, &rds.DescribeDBClusterParameterGroupsInput{DBClusterParameterGroupName: &name})
	if err != nil || len(out.DBClusterParameterGroups) == 0 {
		return "", err
	}
	return aws.ToString(out.DBClusterParameterGroups[0].DBParameterGroupFamily), nil
}

func (r *restoring) optionFamily(ctx context.Context, name string) (string, error) {
	out, err := ask(ctx, r.session, r.client.DescribeOptionGroups, &rds.DescribeOptionGroupsInput{OptionGroupName: &name})
	if err != nil || len(out.OptionGroupsList) == 0 {
		return "", err
	}
	return aws.ToString(out.OptionGroupsList[0].EngineName) + aws.ToString(out.OptionGroupsList[0].MajorEngineVersion), nil
}

// fitsVersion tells whether a family, such as postgres15, mysql8.0 or oracle-ee-19, is that of an engine's version. What cannot be told fits.
func fitsVersion(family, engine, version string) bool {
	major, found := strings.CutPrefix(family, engine)
	if !found || version == "" {
		return true
	}
	has := strings.Split(version, ".")
	for n, part := range strings.Split(strings.TrimPrefix(major, "-"), ".") {
		if n >= len(has) || number(part) != number(has[n]) {
			return false
		}
	}
	return true
}
