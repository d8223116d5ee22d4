package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/kmsd/kmsd/client"
	"github.com/kmsd/kmsd/crypto"
	organizationsv1 "github.com/kmsd/kmsd/proto/kmsd/organizations/v1"
)

// accountView is an account as JSON shows it.
type accountView struct {
	ID      string    `json:"id"`
	ARN     string    `json:"arn"`
	Name    string    `json:"name"`
	Email   string    `json:"email,omitempty"`
	State   string    `json:"state"`
	Joined  time.Time `json:"joined_timestamp,omitzero"`
	RootKey string    `json:"root_access_key_id,omitempty"`
}

func viewOfAccount(acc *organizationsv1.Account) accountView {
	return accountView{
		ID: acc.GetId(), ARN: acc.GetArn(), Name: acc.GetName(), Email: acc.GetEmail(), State: title(trimEnum(acc.GetState(), "ACCOUNT_STATE_")),
		Joined: acc.GetJoinedTimestamp().AsTime(),
	}
}

func (v accountView) table() view {
	return pairs("id", v.ID, "arn", v.ARN, "name", v.Name, "email", v.Email, "state", v.State, "created", stamp(v.Joined))
}

func (a *app) accountCommand() *cobra.Command {
	return a.group(&cobra.Command{
		Use: "account", Short: "manage the accounts of the organization",
		Long: `An account is a tenant: it has its own users, roles, policies and keys, and sees nothing of the others. The management account, which kmsd was made
with, makes and closes accounts; service control policies (kmsctl scp) bound all but itself.`,
		Example: "  kmsctl account create 'team red'\n  kmsctl account list\n  kmsctl account move 222233334444 --to ou-abcd-12345678",
	}, a.accountCreateCommand(), a.accountListCommand(), a.accountGetCommand(), a.accountCloseCommand(), a.accountMoveCommand(), a.organizationCommand())
}

func (a *app) accountCreateCommand() *cobra.Command {
	var email, role, out string
	var tags tagFlags
	cmd := &cobra.Command{
		Use: "create NAME", Short: "make an account", Args: takes("NAME"),
		Long: `create makes an account under the root, and in it a role that the management account can assume and that may do everything there:
OrganizationAccountAccessRole, unless --role-name says otherwise. --root-credentials writes a credentials file (mode 0600) of the account's root user besides.`,
		Example: "  kmsctl account create 'team red' --email red@example.com\n  kmsctl account create 'team blue' --root-credentials blue-root.yaml",
	}
	f := cmd.Flags()
	f.StringVar(&email, "email", "", "`ADDRESS` of whoever answers for the account; nothing is sent there")
	f.StringVar(&role, "role-name", "", "`NAME` of the role to make in it")
	f.StringVar(&out, "root-credentials", "", "credentials `FILE` of the account's root user to make; it must not exist")
	tags.add(cmd, "the account")
	cmd.RunE = a.runs(func(ctx context.Context, args []string) error {
		if out != "" {
			if err := absent(out, "choose another name"); err != nil {
				return err
			}
		}
		list, err := tags.list()
		if err != nil {
			return err
		}
		c, creds, err := a.connect(ctx)
		if err != nil {
			return err
		}
		defer c.Close()
		r, err := c.Organizations().CreateAccount(ctx, organizationsv1.CreateAccountRequest_builder{
			AccountName: args[0], Email: email, RoleName: role, Tags: list, CreateRootAccessKey: out != "",
		}.Build())
		if err != nil {
			return err
		}
		v := viewOfAccount(r.GetAccount())
		if out == "" {
			return a.emit(v, v.table)
		}
		key := r.GetRootAccessKey()
		v.RootKey = key.GetAccessKeyId()
		err = writeCredentials(out, client.Credentials{
			Endpoint: creds.Endpoint, Region: creds.Region, CA: creds.CA, AccessKeyID: v.RootKey, SecretAccessKey: crypto.NewSecret([]byte(key.GetSecretAccessKey())),
		})
		if err != nil {
			return hint(fmt.Errorf("%w; the account %s was made", err, v.ID), "the way into the account is its role: kmsctl sts assume-role")
		}
		a.say("wrote the access key %s of the root user of %s to %s", v.RootKey, v.ID, out)
		return a.emit(v, v.table)
	})
	return cmd
}

func listAccounts(ctx context.Context, c *client.Client) ([]*organizationsv1.Account, error) {
	return allPages(func(token string) ([]*organizationsv1.Account, string, error) {
		out, err := c.Organizations().ListAccounts(ctx, organizationsv1.ListAccountsRequest_builder{NextToken: token, MaxResults: 100}.Build())
		return out.GetAccounts(), out.GetNextToken(), err
	})
}

func (a *app) accountListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "list the accounts", Args: takes(),
		Long:    "list shows all accounts of the organization, in the order of their ids. kmsctl ou tree shows where they stand.",
		Example: "  kmsctl account list\n  kmsctl account list -o json",
		RunE: a.calls(func(ctx context.Context, c *client.Client, _ []string) error {
			list, err := listAccounts(ctx, c)
			if err != nil {
				return err
			}
			return listing(a, each(list, viewOfAccount), "there are no accounts", []string{"ACCOUNT", "STATE", "NAME", "CREATED", "EMAIL"}, func(v accountView) []string {
				return []string{v.ID, v.State, v.Name, stamp(v.Joined), v.Email}
			})
		}),
	}
}

func (a *app) accountGetCommand() *cobra.Command {
	return &cobra.Command{
		Use: "get ACCOUNT", Short: "show an account", Args: takes("ACCOUNT"),
		Long:    "get shows an account, which its id names, twelve digits.",
		Example: "  kmsctl account get 222233334444",
		RunE: a.calls(func(ctx context.Context, c *client.Client, args []string) error {
			out, err := c.Organizations().DescribeAccount(ctx, organizationsv1.DescribeAccountRequest_builder{AccountId: args[0]}.Build())
			if err != nil {
				return err
			}
			v := viewOfAccount(out.GetAccount())
			return a.emit(v, v.table)
		}),
	}
}

func (a *app) accountCloseCommand() *cobra.Command {
	return &cobra.Command{
		Use: "close ACCOUNT", Short: "end an account", Args: takes("ACCOUNT"),
		Long:    "close ends an account: its credentials, sessions and keys are refused, at once. What is encrypted under its keys cannot be decrypted.",
		Example: "  kmsctl account close 222233334444",
		RunE: a.calls(func(ctx context.Context, c *client.Client, args []string) error {
			if err := a.confirm("Close the account %s? Nothing can be encrypted or decrypted under its keys.", args[0]); err != nil {
				return err
			}
			if _, err := c.Organizations().CloseAccount(ctx, organizationsv1.CloseAccountRequest_builder{AccountId: args[0]}.Build()); err != nil {
				return err
			}
			return a.done(moved{AccountID: args[0]}, "closed the account %s", args[0])
		}),
	}
}

// moved is what a change of the organization is answered with.
type moved struct {
	AccountID   string `json:"account_id,omitempty"`
	UnitID      string `json:"organizational_unit_id,omitempty"`
	PolicyID    string `json:"policy_id,omitempty"`
	TargetID    string `json:"target_id,omitempty"`
	Source      string `json:"source_parent_id,omitempty"`
	Destination string `json:"destination_parent_id,omitempty"`
}

func (a *app) accountMoveCommand() *cobra.Command {
	var to string
	cmd := &cobra.Command{
		Use: "move ACCOUNT --to PARENT", Short: "put an account under another organizational unit", Args: takes("ACCOUNT"),
		Long:    "move puts an account under an organizational unit, or under the root. From then on the policies there bound it, and those where it was do not.",
		Example: "  kmsctl account move 222233334444 --to ou-abcd-12345678",
	}
	cmd.Flags().StringVar(&to, "to", "", "id of the organizational unit or root to be the `PARENT`")
	required(cmd, "to")
	cmd.RunE = a.calls(func(ctx context.Context, c *client.Client, args []string) error {
		parents, err := c.Organizations().ListParents(ctx, organizationsv1.ListParentsRequest_builder{ChildId: args[0]}.Build())
		if err != nil {
			return err
		}
		if len(parents.GetParents()) != 1 {
			return fmt.Errorf("%s has %d parents", args[0], len(parents.GetParents()))
		}
		from := parents.GetParents()[0].GetId()
		_, err = c.Organizations().MoveAccount(ctx, organizationsv1.MoveAccountRequest_builder{AccountId: args[0], SourceParentId: from, DestinationParentId: to}.Build())
		if err != nil {
			return err
		}
		return a.done(moved{AccountID: args[0], Source: from, Destination: to}, "moved the account %s from %s to %s", args[0], from, to)
	})
	return cmd
}

// organizationView is the organization as JSON shows it.
type organizationView struct {
	ID            string `json:"id"`
	ARN           string `json:"arn"`
	ManagementID  string `json:"master_account_id"`
	ManagementARN string `json:"master_account_arn"`
}

func (a *app) organizationCommand() *cobra.Command {
	return &cobra.Command{
		Use: "organization", Short: "show the organization", Args: takes(),
		Long:    "organization shows the organization that all accounts of this kmsd belong to, and its management account.",
		Example: "  kmsctl account organization",
		RunE: a.calls(func(ctx context.Context, c *client.Client, _ []string) error {
			out, err := c.Organizations().DescribeOrganization(ctx, &organizationsv1.DescribeOrganizationRequest{})
			if err != nil {
				return err
			}
			o := out.GetOrganization()
			v := organizationView{o.GetId(), o.GetArn(), o.GetMasterAccountId(), o.GetMasterAccountArn()}
			return a.emit(v, func() view { return pairs("id", v.ID, "arn", v.ARN, "management account", v.ManagementID) })
		}),
	}
}
