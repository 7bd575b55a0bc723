package main

import (
	"context"
	"errors"
	"io/fs"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// ControllerGetCapabilities lists what the driver can do.
func (d *driver) ControllerGetCapabilities(context.Context, *csi.ControllerGetCapabilitiesRequest) (*csi.ControllerGetCapabilitiesResponse, error) {
	r := &csi.ControllerGetCapabilitiesResponse{}
	for _, can := range []csi.ControllerServiceCapability_RPC_Type{
		csi.ControllerServiceCapability_RPC_CREATE_DELETE_VOLUME, csi.ControllerServiceCapability_RPC_CLONE_VOLUME,
		csi.ControllerServiceCapability_RPC_CREATE_DELETE_SNAPSHOT, csi.ControllerServiceCapability_RPC_LIST_SNAPSHOTS,
	} {
		rpc := &csi.ControllerServiceCapability_Rpc{Rpc: &csi.ControllerServiceCapability_RPC{Type: can}}
		r.Capabilities = append(r.Capabilities, &csi.ControllerServiceCapability{Type: rpc})
	}
	return r, nil
}

// mounted refuses block volumes.
func mounted(capabilities []*csi.VolumeCapability) error {
	for _, c := range capabilities {
		if c.GetBlock() != nil {
			return status.Error(codes.InvalidArgument, "there are no block volumes here: use the volume mode Filesystem")
		}
	}
	return nil
}

// ValidateVolumeCapabilities confirms what CreateVolume takes.
func (d *driver) ValidateVolumeCapabilities(
	_ context.Context, q *csi.ValidateVolumeCapabilitiesRequest,
) (*csi.ValidateVolumeCapabilitiesResponse, error) {
	if _, err := d.volumes.get(q.GetVolumeId()); err != nil {
		return nil, failed(err, "volume "+q.GetVolumeId())
	}
	if err := mounted(q.GetVolumeCapabilities()); err != nil {
		return &csi.ValidateVolumeCapabilitiesResponse{Message: err.Error()}, nil //nolint:nilerr // it is the answer
	}
	return &csi.ValidateVolumeCapabilitiesResponse{
		Confirmed: &csi.ValidateVolumeCapabilitiesResponse_Confirmed{VolumeCapabilities: q.GetVolumeCapabilities()},
	}, nil
}

// CreateVolume makes a volume, empty or of a snapshot or another volume.
func (d *driver) CreateVolume(ctx context.Context, q *csi.CreateVolumeRequest) (*csi.CreateVolumeResponse, error) {
	id := q.GetName()
	if !validID(id) {
		return nil, status.Errorf(codes.InvalidArgument, "name %q cannot be that of a volume", id)
	}
	if err := mounted(q.GetVolumeCapabilities()); err != nil {
		return nil, err
	}
	calls, done, err := d.history.begin("volume " + id)
	if err != nil {
		return nil, err
	}
	defer done()
	r := record{Size: max(q.GetCapacityRange().GetRequiredBytes(), 1<<20)}
	answer := &csi.CreateVolumeResponse{Volume: &csi.Volume{VolumeId: id, CapacityBytes: r.Size, ContentSource: q.GetVolumeContentSource()}}
	if there, err := d.volumes.get(id); err == nil {
		if there.Size != r.Size {
			return nil, status.Errorf(codes.AlreadyExists, "volume %s has another size", id)
		}
		return answer, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, failed(err, "volume "+id)
	}
	if r.Faults, err = parseFaults(q.GetParameters()); err != nil {
		return nil, err
	}
	if err := calls.create(ctx, r.Faults); err != nil {
		return nil, err
	}
	source, err := d.source(q.GetVolumeContentSource(), r.Size)
	if err != nil {
		return nil, err
	}
	if _, err := d.volumes.add(id, r, source, 0); err != nil {
		return nil, failed(err, "volume "+id)
	}
	return answer, nil
}

// source is the subvolume that a volume of a size is made of, or "".
func (d *driver) source(from *csi.VolumeContentSource, size int64) (string, error) {
	var s store
	var id, what string
	switch {
	case from.GetSnapshot() != nil:
		s, id, what = d.snapshots, from.GetSnapshot().GetSnapshotId(), "snapshot "
	case from.GetVolume() != nil:
		s, id, what = d.volumes, from.GetVolume().GetVolumeId(), "volume "
	default:
		return "", nil
	}
	r, err := s.get(id)
	switch {
	case err != nil:
		return "", failed(err, what+id)
	case !r.ready():
		return "", status.Errorf(codes.Unavailable, "%s%s is not ready", what, id)
	case size < r.Size:
		return "", status.Errorf(codes.OutOfRange, "%s%s has %d bytes, more than %d", what, id, r.Size, size)
	}
	return s.path(id), nil
}

// DeleteVolume removes a volume; that it is gone is no error.
func (d *driver) DeleteVolume(_ context.Context, q *csi.DeleteVolumeRequest) (*csi.DeleteVolumeResponse, error) {
	if err := d.delete(d.volumes, "volume", q.GetVolumeId(), nil); err != nil {
		return nil, err
	}
	return &csi.DeleteVolumeResponse{}, nil
}

// delete removes a volume or snapshot.
func (d *driver) delete(s store, what, id string, secrets map[string]string) error {
	calls, done, err := d.history.begin(what + " " + id + " to delete")
	if err != nil {
		return err
	}
	defer done()
	r, err := s.get(id)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return failed(err, what+" "+id)
	}
	if err := r.permit(secrets); err != nil {
		return err
	}
	if err := calls.fail(r.Faults.DeleteFails); err != nil {
		return err
	}
	if err := s.remove(id); err != nil {
		return failed(err, what+" "+id)
	}
	return nil
}
