//go:build unix

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsrds "github.com/aws/aws-sdk-go-v2/service/rds"

	"github.com/davit-project/davit/function"
	"github.com/davit-project/davit/function/rds"
	"github.com/davit-project/davit/internal/pgdump/motords"
	"github.com/davit-project/davit/internal/pgdump/pgserver"
)

const region = "eu-west-1"

// onThisMachine tells the story with servers of this machine, and leaves nothing behind.
func onThisMachine(ctx context.Context, out io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "davit-rds-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	first, err := pgserver.Start(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, first.Close()) }()
	second, err := pgserver.Start(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, second.Close()) }()
	// The instance restored is the second server; shop, and what is made of its snapshots, the first.
	fake, err := motords.Start(ctx, region, func(instance string) (string, int) {
		if instance == "restored" {
			return "127.0.0.1", second.Port
		}
		return "127.0.0.1", first.Port
	})
	if err != nil {
		return err
	}
	defer fake.Close()
	client, err := rds.NewClient(ctx, rds.Access{Region: region, AccessKeyID: "example", SecretAccessKey: function.NewSecret("example")}, &rds.ClientOptions{Endpoint: fake.URL})
	if err != nil {
		return err
	}
	h, err := newHost(ctx, dir, filepath.Join(dir, "folder"), rds.Deps{
		NewClient: func(context.Context, rds.Access) (rds.Client, error) { return client, nil },
		DumpCA:    append(first.CA, second.CA...),
		Waits:     rds.Waits{Interval: 100 * time.Millisecond},
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.close(ctx)) }()
	s := &story{out: out, host: h, client: client, from: first, to: second}
	return s.tell(ctx)
}

type story struct {
	out      io.Writer
	host     *host
	client   rds.Client
	from, to *pgserver.Server
}

func (s *story) tell(ctx context.Context) error {
	shop := database{instance: "shop", region: region, user: "postgres", password: s.from.Password}
	restored := database{instance: "restored", region: region, user: "postgres", password: s.to.Password}
	for _, at := range []database{shop, restored} {
		if err := s.create(ctx, at); err != nil {
			return err
		}
	}
	if _, err := s.from.SQL(ctx, "postgres", "CREATE DATABASE orders;"); err != nil {
		return err
	}
	if _, err := s.from.SQL(ctx, "orders", "CREATE TABLE orders AS SELECT i AS id, md5(i::text) AS note FROM generate_series(1, 10000) i;"); err != nil {
		return err
	}
	kept, err := s.host.run(ctx, "backup", shop, nil)
	if err != nil {
		return err
	}
	fmt.Fprintln(s.out, "instance shop has a snapshot and a dump")
	if _, err := s.host.run(ctx, "restore", restored, kept); err != nil {
		return err
	}
	const sum = "SELECT count(*), md5(string_agg(note, '' ORDER BY id)) FROM orders;"
	want, err := s.from.SQL(ctx, "orders", sum)
	if err != nil {
		return err
	}
	got, err := s.to.SQL(ctx, "orders", sum)
	if err != nil {
		return err
	}
	if got != want {
		return fmt.Errorf("instance restored holds %s, not %s", got, want)
	}
	fmt.Fprintln(s.out, "instance restored holds the same 10000 orders")
	if _, err := s.host.run(ctx, "delete", shop, kept); err != nil {
		return err
	}
	return s.left(ctx)
}

// create makes a record of an instance.
func (s *story) create(ctx context.Context, at database) error {
	_, err := s.client.CreateDBInstance(ctx, &awsrds.CreateDBInstanceInput{
		DBInstanceIdentifier: aws.String(at.instance), Engine: aws.String("postgres"), DBInstanceClass: aws.String("db.t3.micro"), AllocatedStorage: aws.Int32(20),
		MasterUsername: aws.String(at.user), MasterUserPassword: aws.String(at.password), DBSubnetGroupName: aws.String("default"),
	})
	return err
}

// left says what is left.
func (s *story) left(ctx context.Context) error {
	instances, err := s.client.DescribeDBInstances(ctx, &awsrds.DescribeDBInstancesInput{})
	if err != nil {
		return err
	}
	snapshots, err := s.client.DescribeDBSnapshots(ctx, &awsrds.DescribeDBSnapshotsInput{SnapshotType: aws.String("manual")}) // RDS makes some of its own
	if err != nil {
		return err
	}
	fmt.Fprintf(s.out, "after the delete there are %d instances and %d snapshots of ours\n", len(instances.DBInstances), len(snapshots.DBSnapshots))
	return nil
}

// onAWS makes a backup of an instance, or restores a dump to it.
func onAWS(ctx context.Context, out io.Writer, at database, folder, ca, dump string) (err error) {
	deps := rds.Deps{}
	if ca != "" {
		if deps.DumpCA, err = os.ReadFile(ca); err != nil {
			return err
		}
	}
	if folder, err = filepath.Abs(folder); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "davit-rds-")
	if err != nil {
		return err
	}
	h, err := newHost(ctx, dir, folder, deps)
	if err != nil {
		return errors.Join(err, os.RemoveAll(dir))
	}
	defer func() { err = errors.Join(err, h.close(ctx), os.RemoveAll(dir)) }()
	if dump != "" {
		kept, err := dumpAt(dump)
		if err != nil {
			return err
		}
		if _, err := h.run(ctx, "restore", at, kept); err != nil {
			return err
		}
		fmt.Fprintf(out, "restored %s to instance %s\n", dump, at.instance)
		return nil
	}
	kept, err := h.run(ctx, "backup", at, nil)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "snapshot %s, dump %s\n", kept["backup"].KeyValue["snapshot"], pathOf(kept))
	return nil
}
