package server

import (
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/kmsd/kmsd/audit"
	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/iam"
	iamv1 "github.com/kmsd/kmsd/proto/kmsd/iam/v1"
)

func checkCreateVirtualMFADevice(v *violations, r *iamv1.CreateVirtualMFADeviceRequest) {
	v.text("virtual_mfa_device_name", r.GetVirtualMfaDeviceName(), 1, maxMFASerial)
	v.text("path", r.GetPath(), 0, maxPath)
}

func createVirtualMFADevice(c *call, r *iamv1.CreateVirtualMFADeviceRequest) (*iamv1.CreateVirtualMFADeviceResponse, error) {
	arn := c.people.NewMFADeviceARN(c.account(), pathOr(r.GetPath()), r.GetVirtualMfaDeviceName())
	out := iamv1.CreateVirtualMFADeviceResponse_builder{}
	err := c.changeBy(func() (authz.Grant, error) { return c.onNew(authz.IAMCreateVirtualMFADevice, "MFA", arn) }, func(people *iam.IAM, g authz.Grant) error {
		d, err := people.CreateVirtualMFADevice(g, c.account(), r.GetPath(), r.GetVirtualMfaDeviceName())
		if err != nil {
			return err
		}
		out.VirtualMfaDevice = iamv1.VirtualMFADevice_builder{
			SerialNumber: d.SerialNumber, Base32StringSeed: string(d.Seed.Expose()), OtpauthUri: string(d.URI.Expose()),
		}.Build()
		d.Seed.Wipe()
		d.URI.Wipe()
		return nil
	})
	return out.Build(), err
}

func checkEnableMFADevice(v *violations, r *iamv1.EnableMFADeviceRequest) {
	v.userName(r.GetUserName())
	v.text("serial_number", r.GetSerialNumber(), 1, maxMFASerial)
	v.text("authentication_code1", r.GetAuthenticationCode1(), 1, maxMFACode)
	v.text("authentication_code2", r.GetAuthenticationCode2(), 1, maxMFACode)
}

func enableMFADevice(c *call, r *iamv1.EnableMFADeviceRequest) (*iamv1.EnableMFADeviceResponse, error) {
	name := c.userName(r.GetUserName())
	c.param(audit.String("serialNumber", r.GetSerialNumber()))
	return &iamv1.EnableMFADeviceResponse{}, c.changeUser(authz.IAMEnableMFADevice, name, func(people *iam.IAM, g authz.Grant) error {
		return people.EnableMFADevice(g, c.account(), name, r.GetSerialNumber(), r.GetAuthenticationCode1(), r.GetAuthenticationCode2(), c.event.ReceivedTime)
	})
}

func checkDeactivateMFADevice(v *violations, r *iamv1.DeactivateMFADeviceRequest) {
	v.userName(r.GetUserName())
	v.text("serial_number", r.GetSerialNumber(), 1, maxMFASerial)
}

func deactivateMFADevice(c *call, r *iamv1.DeactivateMFADeviceRequest) (*iamv1.DeactivateMFADeviceResponse, error) {
	name := c.userName(r.GetUserName())
	c.param(audit.String("serialNumber", r.GetSerialNumber()))
	return &iamv1.DeactivateMFADeviceResponse{}, c.changeUser(authz.IAMDeactivateMFADevice, name, func(people *iam.IAM, g authz.Grant) error {
		return people.DeactivateMFADevice(g, c.account(), name, r.GetSerialNumber())
	})
}

func checkDeleteVirtualMFADevice(v *violations, r *iamv1.DeleteVirtualMFADeviceRequest) {
	v.text("serial_number", r.GetSerialNumber(), 1, maxMFASerial)
}

func deleteVirtualMFADevice(c *call, r *iamv1.DeleteVirtualMFADeviceRequest) (*iamv1.DeleteVirtualMFADeviceResponse, error) {
	on := func() (authz.Grant, error) {
		return c.onEntity(authz.IAMDeleteVirtualMFADevice, "MFA", c.people.MFADeviceResource(c.account(), r.GetSerialNumber()), r.GetSerialNumber())
	}
	return &iamv1.DeleteVirtualMFADeviceResponse{}, c.changeBy(on, func(people *iam.IAM, g authz.Grant) error {
		return people.DeleteVirtualMFADevice(g, c.account(), r.GetSerialNumber())
	})
}

func checkListMFADevices(v *violations, r *iamv1.ListMFADevicesRequest) { v.userName(r.GetUserName()) }

func listMFADevices(c *call, r *iamv1.ListMFADevicesRequest) (*iamv1.ListMFADevicesResponse, error) {
	name := c.userName(r.GetUserName())
	g, err := c.onUser(authz.IAMListMFADevices, name)
	if err != nil {
		return nil, err
	}
	devices, err := c.people.ListMFADevices(g, c.account(), name)
	if err != nil {
		return nil, err
	}
	out := iamv1.ListMFADevicesResponse_builder{}
	for _, d := range devices {
		out.MfaDevices = append(out.MfaDevices, iamv1.MFADevice_builder{
			UserName: d.UserName, SerialNumber: d.SerialNumber, EnableDate: timestamppb.New(d.Enabled),
		}.Build())
	}
	return out.Build(), nil
}
