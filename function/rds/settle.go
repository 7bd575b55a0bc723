package rds

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/rds"

	"github.com/davit-project/davit/function"
)

// graded asks for something with all its settings. Where RDS refuses, it asks with the groups alone, and then with nothing: a database without some of its settings
// is better than none, and settle asks for the rest.
func (r *restoring) graded(ctx context.Context, what string, limit time.Duration, all map[string]string, order func(give map[string]string) error) error {
	groups := map[string]string{}
	for _, name := range []string{parameterGroup, optionGroup} {
		if all[name] != "" {
			groups[name] = all[name]
		}
	}
	grades := []map[string]string{all}
	if len(groups) < len(all) {
		grades = append(grades, groups)
	}
	if len(groups) > 0 {
		grades = append(grades, nil)
	}
	var err error
	for n, give := range grades {
		if err = r.whenReady(ctx, what, limit, func() error { return order(give) }); err == nil || ctx.Err() != nil || codeOf(err) == "" || isBusy(err) || isPassing(err) {
			return err
		}
		if n < len(grades)-1 {
			r.call.Log.WarnContext(ctx, "RDS refuses the settings that the database had: it is asked without some, which are set afterwards", "what", what, "error", err)
		}
	}
	return err
}

// settling is something restored that is to have settings.
type settling struct {
	what  string
	limit time.Duration
	want  map[string]string
	// names are those of the settings that can be changed.
	names []string
	// look returns the settings it has; nil if it is not there.
	look   func(context.Context) (now map[string]string, status string, err error)
	modify func(ctx context.Context, names []string) error
}

// settle changes what is not as wanted, and waits until it is.
func (s *session) settle(ctx context.Context, x settling) error {
	var now map[string]string
	err := s.whenReady(ctx, x.what, x.limit, func() (err error) {
		now, _, err = x.look(ctx)
		return err
	})
	if err != nil {
		return err
	}
	names := missing(x.names, x.want, now)
	if now == nil || len(names) == 0 {
		return nil
	}
	s.call.Report(ctx, function.Progress{Note: x.what + ": sets " + strings.Join(names, ", ")})
	taken, refused := s.change(ctx, x, names)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	err = s.await(ctx, wait{what: x.what, limit: x.limit, look: func(ctx context.Context) (sight, error) {
		now, status, err := x.look(ctx)
		if err != nil || now == nil {
			return sight{}, err
		}
		if rest := missing(taken, x.want, now); len(rest) > 0 && slices.Contains(usable, status) {
			return sight{found: true, status: "without " + strings.Join(rest, ", ")}, nil
		}
		return sight{found: true, status: status}, nil
	}})
	if refused != nil {
		return fmt.Errorf("%s is restored, but not with all the settings it had, set them by hand: %w", x.what, errors.Join(refused, err))
	}
	return err
}

// change asks for all at once, and where RDS refuses that for each alone. It returns the names that RDS takes.
func (s *session) change(ctx context.Context, x settling, names []string) (taken []string, refused error) {
	ask := func(names []string) error {
		return s.whenReady(ctx, x.what, x.limit, func() error { return x.modify(ctx, names) })
	}
	err := ask(names)
	if err == nil {
		return names, nil
	}
	if len(names) == 1 || ctx.Err() != nil {
		return nil, fmt.Errorf("%s: %w", strings.Join(names, ", "), err)
	}
	var all []error
	for _, name := range names {
		if err := ask([]string{name}); err != nil {
			all = append(all, fmt.Errorf("%s: %w", name, err))
			continue
		}
		taken = append(taken, name)
	}
	return taken, errors.Join(all...)
}

func (s *session) settleInstance(ctx context.Context, id string, limit time.Duration, want map[string]string) error {
	x := settling{what: "RDS instance " + id, limit: limit, want: want}
	for _, one := range settings() {
		if one.modify != nil {
			x.names = append(x.names, one.name)
		}
	}
	x.look = func(ctx context.Context) (map[string]string, string, error) {
		i, err := s.instance(ctx, id)
		if err != nil || i == nil {
			return nil, "", err
		}
		return settingsOf(i), aws.ToString(i.DBInstanceStatus), nil
	}
	x.modify = func(ctx context.Context, names []string) error {
		in := &rds.ModifyDBInstanceInput{DBInstanceIdentifier: &id, ApplyImmediately: aws.Bool(true)}
		for _, one := range settings() {
			if slices.Contains(names, one.name) {
				one.modify(in, want[one.name])
			}
		}
		_, err := ask(ctx, s, s.client.ModifyDBInstance, in)
		return err
	}
	return s.settle(ctx, x)
}

func (r *restoring) settleCluster(ctx context.Context) error {
	x := settling{what: r.what(), limit: r.Waits.Cluster, want: r.was.settings}
	for _, one := range clusterSettings() {
		x.names = append(x.names, one.name)
	}
	x.look = func(ctx context.Context) (map[string]string, string, error) {
		c, err := r.cluster(ctx, r.id)
		if err != nil || c == nil {
			return nil, "", err
		}
		return clusterSettingsOf(c), aws.ToString(c.Status), nil
	}
	x.modify = func(ctx context.Context, names []string) error {
		in := &rds.ModifyDBClusterInput{DBClusterIdentifier: &r.id, ApplyImmediately: aws.Bool(true)}
		for _, one := range clusterSettings() {
			if slices.Contains(names, one.name) {
				one.modify(in, r.was.settings[one.name])
			}
		}
		_, err := ask(ctx, r.session, r.client.ModifyDBCluster, in)
		return err
	}
	return r.settle(ctx, x)
}
