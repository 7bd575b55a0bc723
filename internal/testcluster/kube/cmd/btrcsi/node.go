package main

import (
	"context"
	"errors"
	"io/fs"
	"os"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"golang.org/x/sys/unix"
)

// NodeGetInfo names the node.
func (d *driver) NodeGetInfo(context.Context, *csi.NodeGetInfoRequest) (*csi.NodeGetInfoResponse, error) {
	return &csi.NodeGetInfoResponse{NodeId: d.node}, nil
}

// NodeGetCapabilities says that volumes are not staged.
func (d *driver) NodeGetCapabilities(context.Context, *csi.NodeGetCapabilitiesRequest) (*csi.NodeGetCapabilitiesResponse, error) {
	return &csi.NodeGetCapabilitiesResponse{}, nil
}

// NodePublishVolume mounts a volume for a pod, unless it is mounted there.
func (d *driver) NodePublishVolume(_ context.Context, q *csi.NodePublishVolumeRequest) (*csi.NodePublishVolumeResponse, error) {
	if err := mounted([]*csi.VolumeCapability{q.GetVolumeCapability()}); err != nil {
		return nil, err
	}
	volume, target := q.GetVolumeId(), q.GetTargetPath()
	_, done, err := d.history.begin("mount " + target)
	if err != nil {
		return nil, err
	}
	defer done()
	if _, err := d.volumes.get(volume); err != nil {
		return nil, failed(err, "volume "+volume)
	}
	if err := d.mount(volume, target, q.GetReadonly()); err != nil {
		return nil, failed(err, "mount volume "+volume)
	}
	return &csi.NodePublishVolumeResponse{}, nil
}

func (d *driver) mount(volume, target string, readonly bool) error {
	if err := os.MkdirAll(target, 0o750); err != nil {
		return err
	}
	here, err := os.Stat(d.volumes.path(volume))
	if err != nil {
		return err
	}
	there, err := os.Stat(target)
	if err != nil {
		return err
	}
	if !os.SameFile(here, there) {
		if err := unix.Mount(d.volumes.path(volume), target, "", unix.MS_BIND, ""); err != nil {
			return err
		}
	}
	if !readonly {
		return nil
	}
	return unix.Mount("", target, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, "")
}

// NodeUnpublishVolume ends a mount; that it is gone is no error.
func (d *driver) NodeUnpublishVolume(_ context.Context, q *csi.NodeUnpublishVolumeRequest) (*csi.NodeUnpublishVolumeResponse, error) {
	target := q.GetTargetPath()
	_, done, err := d.history.begin("mount " + target)
	if err != nil {
		return nil, err
	}
	defer done()
	// EINVAL: nothing is mounted there.
	if err := unix.Unmount(target, 0); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, fs.ErrNotExist) {
		return nil, failed(err, "unmount "+target)
	}
	if err := os.Remove(target); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, failed(err, "folder "+target)
	}
	return &csi.NodeUnpublishVolumeResponse{}, nil
}
