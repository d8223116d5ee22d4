package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/kmsd/kmsd/client"
	"github.com/kmsd/kmsd/crypto"
	"github.com/kmsd/kmsd/internal/durable"
	iamv1 "github.com/kmsd/kmsd/proto/kmsd/iam/v1"
)

// accessKeyView is an access key as JSON shows it.
type accessKeyView struct {
	UserName    string    `json:"user_name"`
	AccessKeyID string    `json:"access_key_id"`
	Status      string    `json:"status"`
	Created     time.Time `json:"create_date"`
}

// newAccessKeyView is an access key with its secret, for whoever asks for JSON or YAML and no file.
type newAccessKeyView struct {
	accessKeyView
	Secret string `json:"secret_access_key"`
}

func statusOf(s iamv1.StatusType) string { return title(trimEnum(s, "STATUS_TYPE_")) }

// writeCredentials writes new credentials to a file that must not exist yet.
func writeCredentials(path string, c client.Credentials) error {
	b, err := c.Marshal()
	if err != nil {
		return err
	}
	defer clear(b)
	return durable.CreateFile(path, b, client.FileMode)
}

// undo takes back credentials that could not be handed over.
func undo(err error, what string, takeBack func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), defaultTimeout)
	defer cancel()
	if undoErr := takeBack(ctx); undoErr != nil {
		return fmt.Errorf("%w; %s was made, and could not be removed again: %w", err, what, undoErr)
	}
	return fmt.Errorf("%w; %s was made and removed again", err, what)
}

func (a *app) createAccessKeyCommand() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use: "create-access-key NAME --out FILE", Short: "make an access key of a user, into a credentials file", Args: takes("NAME"),
		Long: `create-access-key makes an access key and writes a credentials file (mode 0600) with it, the endpoint and the CA of the current ones. The secret is
given out this once. Without --out it is printed, if -o json or -o yaml says so. A user can have two access keys.`,
		Example: "  kmsctl user create-access-key alice --out alice.yaml\n  kmsctl --credentials alice.yaml whoami",
	}
	cmd.Flags().StringVar(&out, "out", "", "credentials `FILE` to make; it must not exist")
	cmd.RunE = a.runs(func(ctx context.Context, args []string) error {
		if out == "" && a.output == formatTable {
			return hintAt(usage("--out is missing: the secret is not printed"), "--out FILE writes a credentials file; -o json prints the secret")
		}
		if out == standard {
			return usage("--out takes a file; -o json prints the secret")
		}
		if out != "" {
			if err := absent(out, "choose another name"); err != nil {
				return err
			}
		}
		c, creds, err := a.connect(ctx)
		if err != nil {
			return err
		}
		defer c.Close()
		return a.createAccessKey(ctx, c, creds, args[0], out)
	})
	return cmd
}

func (a *app) createAccessKey(ctx context.Context, c *client.Client, creds client.Credentials, name, out string) error {
	r, err := c.IAM().CreateAccessKey(ctx, iamv1.CreateAccessKeyRequest_builder{UserName: name}.Build())
	if err != nil {
		return err
	}
	k := r.GetAccessKey()
	v := accessKeyView{k.GetUserName(), k.GetAccessKeyId(), statusOf(k.GetStatus()), k.GetCreateDate().AsTime()}
	if out == "" {
		return a.emit(newAccessKeyView{v, k.GetSecretAccessKey()}, nil)
	}
	err = writeCredentials(out, client.Credentials{
		Endpoint: creds.Endpoint, Region: creds.Region, CA: creds.CA, AccessKeyID: k.GetAccessKeyId(), SecretAccessKey: crypto.NewSecret([]byte(k.GetSecretAccessKey())),
	})
	if err != nil {
		return undo(err, "the access key "+k.GetAccessKeyId(), func(ctx context.Context) error {
			_, err := c.IAM().DeleteAccessKey(ctx, iamv1.DeleteAccessKeyRequest_builder{UserName: name, AccessKeyId: k.GetAccessKeyId()}.Build())
			return err
		})
	}
	return a.done(v, "wrote the access key %s of %s to %s", v.AccessKeyID, v.UserName, out)
}

func (a *app) accessKeysCommand() *cobra.Command {
	return &cobra.Command{
		Use: "access-keys NAME", Short: "list a user's access keys", Args: takes("NAME"),
		Long:    "access-keys lists a user's access keys, without their secrets.",
		Example: "  kmsctl user access-keys alice",
		RunE: a.calls(func(ctx context.Context, c *client.Client, args []string) error {
			out, err := c.IAM().ListAccessKeys(ctx, iamv1.ListAccessKeysRequest_builder{UserName: args[0]}.Build())
			if err != nil {
				return err
			}
			keys := []accessKeyView{}
			v := view{header: []string{"ACCESS KEY ID", "STATUS", "CREATED"}, empty: args[0] + " has no access keys"}
			for _, k := range out.GetAccessKeyMetadata() {
				one := accessKeyView{k.GetUserName(), k.GetAccessKeyId(), statusOf(k.GetStatus()), k.GetCreateDate().AsTime()}
				keys = append(keys, one)
				v.rows = append(v.rows, []string{one.AccessKeyID, one.Status, stamp(one.Created)})
			}
			return a.emit(keys, func() view { return v })
		}),
	}
}

func (a *app) updateAccessKeyCommand() *cobra.Command {
	var status string
	cmd := &cobra.Command{
		Use: "update-access-key NAME ACCESS-KEY-ID --status Active|Inactive", Short: "make an access key active or inactive", Args: takes("NAME", "ACCESS-KEY-ID"),
		Long:    "update-access-key makes an access key inactive, which ends its use at once, or active again.",
		Example: "  kmsctl user update-access-key alice AKIAIOSFODNN7EXAMPLE --status Inactive",
	}
	cmd.Flags().StringVar(&status, "status", "", "`STATUS`: Active or Inactive")
	required(cmd, "status")
	cmd.RunE = a.calls(func(ctx context.Context, c *client.Client, args []string) error {
		var to iamv1.StatusType
		switch status {
		case "Active":
			to = iamv1.StatusType_STATUS_TYPE_ACTIVE
		case "Inactive":
			to = iamv1.StatusType_STATUS_TYPE_INACTIVE
		default:
			return usage("--status %q: must be Active or Inactive", status)
		}
		_, err := c.IAM().UpdateAccessKey(ctx, iamv1.UpdateAccessKeyRequest_builder{UserName: args[0], AccessKeyId: args[1], Status: to}.Build())
		if err != nil {
			return err
		}
		return a.done(removed{UserName: args[0], AccessKeyID: args[1], Status: status}, "the access key %s of %s is %s", args[1], args[0], status)
	})
	return cmd
}

func (a *app) deleteAccessKeyCommand() *cobra.Command {
	return &cobra.Command{
		Use: "delete-access-key NAME ACCESS-KEY-ID", Short: "remove an access key", Args: takes("NAME", "ACCESS-KEY-ID"),
		Long:    "delete-access-key removes an access key, which ends its use at once and for ever.",
		Example: "  kmsctl user delete-access-key alice AKIAIOSFODNN7EXAMPLE",
		RunE: a.calls(func(ctx context.Context, c *client.Client, args []string) error {
			if err := a.confirm("Delete the access key %s of %s?", args[1], args[0]); err != nil {
				return err
			}
			_, err := c.IAM().DeleteAccessKey(ctx, iamv1.DeleteAccessKeyRequest_builder{UserName: args[0], AccessKeyId: args[1]}.Build())
			if err != nil {
				return err
			}
			return a.done(removed{UserName: args[0], AccessKeyID: args[1]}, "deleted the access key %s of %s", args[1], args[0])
		}),
	}
}
