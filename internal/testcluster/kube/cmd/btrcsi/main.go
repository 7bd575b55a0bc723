// Command btrcsi is a CSI driver for tests. Volumes and snapshots are subvolumes of a btrfs file system in a sparse file, so that a snapshot has one moment of a
// whole volume, as that of real storage, and is quick. It registers itself with the kubelet. The drivers that it is told the names of share the file system and
// know nothing of each other.
//
// Parameters of classes make it slow, fail and ask for secrets: those that testcluster's CSI constants document. What a call without parameters needs of them
// is kept beside the snapshot or volume.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc"
	pluginregistration "k8s.io/kubelet/pkg/apis/pluginregistration/v1"
)

func main() {
	var at places
	flag.StringVar(&at.dir, "dir", "", "folder of the file system and of a socket for each driver")
	flag.StringVar(&at.registry, "registry", "", "folder in which the kubelet looks for sockets of plugins")
	flag.StringVar(&at.node, "node", "", "name of this node")
	flag.Parse()
	if err := run(at, flag.Args()); err != nil {
		slog.Error("the driver ends", "error", err)
		os.Exit(1)
	}
}

// places are where the drivers find and put things.
type places struct{ dir, registry, node string }

// run serves the drivers until one fails.
func run(at places, names []string) error {
	pool := filepath.Join(at.dir, "pool")
	if err := mountPool(pool); err != nil {
		return fmt.Errorf("file system of volumes: %w", err)
	}
	ended := make(chan error)
	for _, name := range names {
		d, err := newDriver(name, at.node, filepath.Join(pool, name))
		if err != nil {
			return err
		}
		socket := filepath.Join(at.dir, name+".sock")
		go func() {
			ended <- serve(socket, func(s *grpc.Server) {
				csi.RegisterIdentityServer(s, d)
				csi.RegisterControllerServer(s, d)
				csi.RegisterNodeServer(s, d)
			})
		}()
		go func() {
			ended <- serve(filepath.Join(at.registry, name+"-reg.sock"), func(s *grpc.Server) {
				pluginregistration.RegisterRegistrationServer(s, &registration{name: name, socket: socket})
			})
		}()
	}
	return <-ended
}

// serve answers calls on a socket.
func serve(socket string, register func(*grpc.Server)) error {
	if err := os.MkdirAll(filepath.Dir(socket), 0o750); err != nil {
		return err
	}
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	l, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	s := grpc.NewServer(grpc.UnaryInterceptor(logged))
	register(s)
	return s.Serve(l)
}

// logged logs the name of a call and how it ended; a request may hold secrets.
func logged(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	answer, err := handler(ctx, request)
	var of []string
	if q, ok := request.(interface{ GetName() string }); ok {
		of = append(of, q.GetName())
	}
	if q, ok := request.(interface{ GetSnapshotId() string }); ok {
		of = append(of, q.GetSnapshotId())
	}
	if q, ok := request.(interface{ GetVolumeId() string }); ok {
		of = append(of, q.GetVolumeId())
	}
	slog.Info(info.FullMethod, "of", of, "error", err)
	return answer, err
}
