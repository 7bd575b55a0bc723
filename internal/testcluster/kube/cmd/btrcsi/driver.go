package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/container-storage-interface/spec/lib/go/csi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"
	pluginregistration "k8s.io/kubelet/pkg/apis/pluginregistration/v1"
)

// driver is one of a name of its own.
type driver struct {
	csi.UnimplementedIdentityServer
	csi.UnimplementedControllerServer
	csi.UnimplementedNodeServer
	name, node         string
	volumes, snapshots store
	history            history
}

// newDriver takes up what is in the folder.
func newDriver(name, node, dir string) (*driver, error) {
	d := &driver{name: name, node: node, volumes: store{filepath.Join(dir, "volumes")}, snapshots: store{filepath.Join(dir, "snapshots")}}
	return d, errors.Join(os.MkdirAll(d.volumes.dir, 0o700), os.MkdirAll(d.snapshots.dir, 0o700))
}

// failed is the error of a call.
func failed(err error, what string) error {
	if errors.Is(err, fs.ErrNotExist) {
		return status.Errorf(codes.NotFound, "%s is not there", what)
	}
	return status.Errorf(codes.Internal, "%s: %v", what, err)
}

// GetPluginInfo names the driver.
func (d *driver) GetPluginInfo(context.Context, *csi.GetPluginInfoRequest) (*csi.GetPluginInfoResponse, error) {
	return &csi.GetPluginInfoResponse{Name: d.name, VendorVersion: "1"}, nil
}

// GetPluginCapabilities says that it makes volumes.
func (d *driver) GetPluginCapabilities(context.Context, *csi.GetPluginCapabilitiesRequest) (*csi.GetPluginCapabilitiesResponse, error) {
	service := &csi.PluginCapability_Service{Type: csi.PluginCapability_Service_CONTROLLER_SERVICE}
	return &csi.GetPluginCapabilitiesResponse{Capabilities: []*csi.PluginCapability{{Type: &csi.PluginCapability_Service_{Service: service}}}}, nil
}

// Probe says that it is ready.
func (d *driver) Probe(context.Context, *csi.ProbeRequest) (*csi.ProbeResponse, error) {
	return &csi.ProbeResponse{Ready: wrapperspb.Bool(true)}, nil
}

// registration answers the kubelet.
type registration struct {
	pluginregistration.UnimplementedRegistrationServer
	name, socket string
}

// GetInfo names the driver and its socket.
func (r *registration) GetInfo(context.Context, *pluginregistration.InfoRequest) (*pluginregistration.PluginInfo, error) {
	return &pluginregistration.PluginInfo{Type: pluginregistration.CSIPlugin, Name: r.name, Endpoint: r.socket, SupportedVersions: []string{"1.0.0"}}, nil
}

// NotifyRegistrationStatus has the kubelet try again after a failure.
func (r *registration) NotifyRegistrationStatus(
	context.Context, *pluginregistration.RegistrationStatus,
) (*pluginregistration.RegistrationStatusResponse, error) {
	return &pluginregistration.RegistrationStatusResponse{}, nil
}
