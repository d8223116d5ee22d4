package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/kmsd/kmsd/client"
	"github.com/kmsd/kmsd/internal/durable"
	iamv1 "github.com/kmsd/kmsd/proto/kmsd/iam/v1"
)

// deviceView is an MFA device as JSON shows it.
type deviceView struct {
	UserName     string    `json:"user_name,omitempty"`
	SerialNumber string    `json:"serial_number"`
	Enabled      time.Time `json:"enable_date,omitzero"`
}

// newDeviceView is a device with its secret, for whoever asks for it.
type newDeviceView struct {
	deviceView
	Seed string `json:"base32_string_seed"`
	URI  string `json:"otpauth_uri"`
}

func (a *app) createMFACommand() *cobra.Command {
	var path, out string
	cmd := &cobra.Command{
		Use: "create-mfa NAME --out FILE", Short: "make a virtual MFA device", Args: takes("NAME"),
		Long: `create-mfa makes a device that shows codes: six digits, another every 30 seconds (RFC 6238). NAME is the device's. FILE (mode 0600) gets the URI that
authenticator apps read, alone or as a QR code; it holds the secret, which is given out this once: remove FILE after use. Without --out it is printed, if -o
json or -o yaml says so. Enable the device for a user with kmsctl user enable-mfa.`,
		Example: "  kmsctl user create-mfa alice-phone --out alice-phone.uri\n  kmsctl user enable-mfa alice arn:aws:iam::111122223333:mfa/alice-phone",
	}
	cmd.Flags().StringVar(&path, "path", "", "`PATH` in the device's serial number, such as /phones/")
	cmd.Flags().StringVar(&out, "out", "", "`FILE` for the URI; it must not exist")
	cmd.RunE = a.calls(func(ctx context.Context, c *client.Client, args []string) error {
		if out == "" && a.output == formatTable {
			return hintAt(usage("--out is missing: the secret is not printed"), "--out FILE writes the URI for an authenticator app; -o json prints it")
		}
		if out != "" {
			if err := absent(out, "choose another name"); err != nil {
				return err
			}
		}
		r, err := c.IAM().CreateVirtualMFADevice(ctx, iamv1.CreateVirtualMFADeviceRequest_builder{Path: path, VirtualMfaDeviceName: args[0]}.Build())
		if err != nil {
			return err
		}
		d := r.GetVirtualMfaDevice()
		v := deviceView{SerialNumber: d.GetSerialNumber()}
		if out == "" {
			return a.emit(newDeviceView{v, d.GetBase32StringSeed(), d.GetOtpauthUri()}, nil)
		}
		if err := durable.CreateFile(out, []byte(d.GetOtpauthUri()+"\n"), secretMode); err != nil {
			return undo(err, "the device "+v.SerialNumber, func(ctx context.Context) error {
				_, err := c.IAM().DeleteVirtualMFADevice(ctx, iamv1.DeleteVirtualMFADeviceRequest_builder{SerialNumber: v.SerialNumber}.Build())
				return err
			})
		}
		return a.done(v, "made the device %s; its secret is in %s", v.SerialNumber, out)
	})
	return cmd
}

func (a *app) enableMFACommand() *cobra.Command {
	return &cobra.Command{
		Use: "enable-mfa NAME SERIAL-NUMBER [CODE1] [CODE2]", Short: "give an MFA device to a user", Args: takes("NAME", "SERIAL-NUMBER", "[CODE1]", "[CODE2]"),
		Long: `enable-mfa gives a device to a user, and proves by two codes, one after the other, that the user has it. Codes that are not given are asked for on the
terminal. A user has at most eight devices.`,
		Example: "  kmsctl user enable-mfa alice arn:aws:iam::111122223333:mfa/alice-phone\n  kmsctl user enable-mfa alice arn:aws:iam::111122223333:mfa/alice-phone 123456 654321",
		RunE: a.calls(func(ctx context.Context, c *client.Client, args []string) error {
			codes := args[2:]
			for _, question := range []string{"a code of the device: ", "the code that follows it: "}[len(codes):] {
				code, err := a.ask(ctx, question)
				if err != nil {
					return hintAt(err, "give the two codes as arguments")
				}
				codes = append(codes, code)
			}
			for _, code := range codes {
				if !sixDigits.MatchString(code) {
					return usage("an MFA code has six digits")
				}
			}
			_, err := c.IAM().EnableMFADevice(ctx, iamv1.EnableMFADeviceRequest_builder{
				UserName: args[0], SerialNumber: args[1], AuthenticationCode1: codes[0], AuthenticationCode2: codes[1],
			}.Build())
			if err != nil {
				return err
			}
			return a.done(removed{UserName: args[0], SerialNumber: args[1]}, "the device %s belongs to %s", args[1], args[0])
		}),
	}
}

func (a *app) deactivateMFACommand() *cobra.Command {
	return &cobra.Command{
		Use: "deactivate-mfa NAME SERIAL-NUMBER", Short: "take an MFA device from a user", Args: takes("NAME", "SERIAL-NUMBER"),
		Long:    "deactivate-mfa takes a device from a user: its codes count no longer.",
		Example: "  kmsctl user deactivate-mfa alice arn:aws:iam::111122223333:mfa/alice-phone",
		RunE: a.calls(func(ctx context.Context, c *client.Client, args []string) error {
			if err := a.confirm("Take the device %s from %s?", args[1], args[0]); err != nil {
				return err
			}
			if _, err := c.IAM().DeactivateMFADevice(ctx, iamv1.DeactivateMFADeviceRequest_builder{UserName: args[0], SerialNumber: args[1]}.Build()); err != nil {
				return err
			}
			return a.done(removed{UserName: args[0], SerialNumber: args[1]}, "the device %s no longer belongs to %s", args[1], args[0])
		}),
	}
}

func (a *app) deleteMFACommand() *cobra.Command {
	return &cobra.Command{
		Use: "delete-mfa SERIAL-NUMBER", Short: "remove an MFA device that belongs to nobody", Args: takes("SERIAL-NUMBER"),
		Long:    "delete-mfa removes a device and its secret, for ever.",
		Example: "  kmsctl user delete-mfa arn:aws:iam::111122223333:mfa/alice-phone",
		RunE: a.calls(func(ctx context.Context, c *client.Client, args []string) error {
			if err := a.confirm("Delete the device %s?", args[0]); err != nil {
				return err
			}
			if _, err := c.IAM().DeleteVirtualMFADevice(ctx, iamv1.DeleteVirtualMFADeviceRequest_builder{SerialNumber: args[0]}.Build()); err != nil {
				return conflictHint(err, "take it from its user first: kmsctl user deactivate-mfa")
			}
			return a.done(removed{SerialNumber: args[0]}, "deleted the device %s", args[0])
		}),
	}
}

func (a *app) listMFACommand() *cobra.Command {
	return &cobra.Command{
		Use: "list-mfa [NAME]", Short: "list a user's MFA devices", Args: takes("[NAME]"),
		Long:    "list-mfa lists the MFA devices of a user; without NAME, of the caller.",
		Example: "  kmsctl user list-mfa alice",
		RunE: a.calls(func(ctx context.Context, c *client.Client, args []string) error {
			name, who := "", "the caller"
			if len(args) > 0 {
				name, who = args[0], args[0]
			}
			out, err := c.IAM().ListMFADevices(ctx, iamv1.ListMFADevicesRequest_builder{UserName: name}.Build())
			if err != nil {
				return err
			}
			views := each(out.GetMfaDevices(), func(d *iamv1.MFADevice) deviceView {
				return deviceView{d.GetUserName(), d.GetSerialNumber(), d.GetEnableDate().AsTime()}
			})
			return listing(a, views, who+" has no MFA devices", []string{"SERIAL NUMBER", "USER", "ENABLED"}, func(d deviceView) []string {
				return []string{d.SerialNumber, d.UserName, stamp(d.Enabled)}
			})
		}),
	}
}
