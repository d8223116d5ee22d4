package server

import (
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/kmsd/kmsd/audit"
	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/iam"
	organizationsv1 "github.com/kmsd/kmsd/proto/kmsd/organizations/v1"
)

// Limits of names and ids of organizations, which iam checks more closely: here they only bound what goes into ARNs and events.
const (
	orgID                        = 128
	orgText                      = 512
	usualOrgPage, largestOrgPage = 20, 100
)

func (v *violations) orgID(field, id string) { v.text(field, id, 1, orgID) }

func (v *violations) orgPage(limit int32) { v.limit("max_results", limit, largestOrgPage) }

// manages refuses callers of other accounts than the one that manages the organization, and says to all of them the same.
func (c *call) manages(a authz.Action) error {
	if c.account() == c.people.ManagementAccount() {
		return nil
	}
	c.event.Decision.Result, c.event.Decision.Reason = audit.ResultDeny, authz.NotCrossAccount.String()
	return &failure{
		code: codes.PermissionDenied, reason: reasonAccessDenied, class: authz.NotCrossAccount.String(),
		message: "User: " + c.who.ARN + " is not authorized to perform: " + a.String() + ": only the management account manages the organization",
	}
}

// onOrganization asks for an action on something of the organization, by the ARN that it has or would have.
func (c *call) onOrganization(a authz.Action, kind, arn string) (authz.Grant, error) {
	if err := c.manages(a); err != nil {
		return authz.Grant{}, err
	}
	r := c.people.OrganizationResource(arn)
	c.touched(kind, arn, r.Account, "")
	return c.allow(a, &r)
}

// onAnything is onOrganization for actions that have no resource.
func (c *call) onAnything(a authz.Action) (authz.Grant, error) {
	if err := c.manages(a); err != nil {
		return authz.Grant{}, err
	}
	return c.allow(a, nothing)
}

// orgList asks for an action that lists, and returns where to begin.
func (c *call) orgList(a authz.Action, kind, arn, token string) (after string, err error) {
	if arn == "" {
		_, err = c.onAnything(a)
	} else {
		_, err = c.onOrganization(a, kind, arn)
	}
	if err != nil {
		return "", err
	}
	return c.position(arn, token)
}

// nextToken is the token of what comes behind the last entry of a page, "" if nothing does.
func (c *call) nextToken(more bool, arn, last string) string {
	if !more {
		return ""
	}
	return c.marker(arn, last)
}

// changeOrganization asks for an action on something of the organization and makes a change.
func (c *call) changeOrganization(a authz.Action, kind, arn string, change func(people *iam.IAM, g authz.Grant) error) error {
	g, err := c.onOrganization(a, kind, arn)
	if err != nil {
		return err
	}
	people, err := c.changingPeople()
	if err != nil {
		return err
	}
	return change(people, g)
}

func checkDescribeOrganization(*violations, *organizationsv1.DescribeOrganizationRequest) {}

// describeOrganization answers members too, who see the same of it in conditions.
func describeOrganization(c *call, _ *organizationsv1.DescribeOrganizationRequest) (*organizationsv1.DescribeOrganizationResponse, error) {
	if _, err := c.allow(authz.OrganizationsDescribeOrganization, nothing); err != nil {
		return nil, err
	}
	o := c.people.Organization()
	return organizationsv1.DescribeOrganizationResponse_builder{Organization: organizationsv1.Organization_builder{
		Id: o.ID, Arn: o.ARN, MasterAccountId: o.ManagementAccount, MasterAccountArn: o.ManagementARN,
	}.Build()}.Build(), nil
}

func accountOf(a iam.OrgAccount) *organizationsv1.Account {
	state := organizationsv1.AccountState_ACCOUNT_STATE_ACTIVE
	if !a.Closed.IsZero() {
		state = organizationsv1.AccountState_ACCOUNT_STATE_CLOSED
	}
	return organizationsv1.Account_builder{
		Id: a.ID, Arn: a.ARN, Email: a.Email, Name: a.Name, State: state, JoinedTimestamp: timestamppb.New(a.Created),
	}.Build()
}

func checkCreateAccount(v *violations, r *organizationsv1.CreateAccountRequest) {
	v.text("account_name", r.GetAccountName(), 1, orgText)
	v.text("email", r.GetEmail(), 0, orgText)
	v.text("role_name", r.GetRoleName(), 0, maxUserName)
	v.tags(r.GetTags())
}

func createAccount(c *call, r *organizationsv1.CreateAccountRequest) (*organizationsv1.CreateAccountResponse, error) {
	tags := c.iamTags(r.GetTags())
	c.param(audit.String("accountName", r.GetAccountName()))
	c.param(audit.Bool("createRootAccessKey", r.GetCreateRootAccessKey()))
	g, err := c.onAnything(authz.OrganizationsCreateAccount)
	if err != nil {
		return nil, err
	}
	people, err := c.changingPeople()
	if err != nil {
		return nil, err
	}
	made, err := people.CreateAccount(g, iam.CreateAccount{
		Name: r.GetAccountName(), Email: r.GetEmail(), RoleName: r.GetRoleName(), Tags: tags, RootAccessKey: r.GetCreateRootAccessKey(),
	})
	if err != nil {
		return nil, err
	}
	c.touched("ACCOUNT", made.Account.ARN, c.account(), "")
	c.touched("ROLE", made.Role.ARN, made.Account.ID, "")
	out := organizationsv1.CreateAccountResponse_builder{
		Account: accountOf(made.Account),
		CreateAccountStatus: organizationsv1.CreateAccountStatus_builder{
			Id: "car-" + made.Account.ID, AccountId: made.Account.ID, AccountName: made.Account.Name,
			State: organizationsv1.CreateAccountState_CREATE_ACCOUNT_STATE_SUCCEEDED,
		}.Build(),
	}
	if k := made.RootKey; k != nil {
		c.param(audit.String("accessKeyId", k.ID))
		out.RootAccessKey = organizationsv1.RootAccessKey_builder{
			AccessKeyId: k.ID, SecretAccessKey: string(k.Secret.Expose()), CreateDate: timestamppb.New(k.Created),
		}.Build()
	}
	return out.Build(), nil
}

func checkDescribeAccount(v *violations, r *organizationsv1.DescribeAccountRequest) {
	v.orgID("account_id", r.GetAccountId())
}

func describeAccount(c *call, r *organizationsv1.DescribeAccountRequest) (*organizationsv1.DescribeAccountResponse, error) {
	if _, err := c.onOrganization(authz.OrganizationsDescribeAccount, "ACCOUNT", c.people.OrgAccountARN(r.GetAccountId())); err != nil {
		return nil, err
	}
	a, err := c.people.OrgAccount(r.GetAccountId())
	if err != nil {
		return nil, err
	}
	return organizationsv1.DescribeAccountResponse_builder{Account: accountOf(a)}.Build(), nil
}

func checkListAccounts(v *violations, r *organizationsv1.ListAccountsRequest) {
	v.orgPage(r.GetMaxResults())
}

func listAccounts(c *call, r *organizationsv1.ListAccountsRequest) (*organizationsv1.ListAccountsResponse, error) {
	after, err := c.orgList(authz.OrganizationsListAccounts, "", "", r.GetNextToken())
	if err != nil {
		return nil, err
	}
	page, more := c.people.OrgAccounts(after, pageSize(r.GetMaxResults(), usualOrgPage))
	out := organizationsv1.ListAccountsResponse_builder{}
	for _, a := range page {
		out.Accounts = append(out.Accounts, accountOf(a))
		after = a.ID
	}
	out.NextToken = c.nextToken(more, "", after)
	return out.Build(), nil
}

func checkCloseAccount(v *violations, r *organizationsv1.CloseAccountRequest) {
	v.orgID("account_id", r.GetAccountId())
}

func closeAccount(c *call, r *organizationsv1.CloseAccountRequest) (*organizationsv1.CloseAccountResponse, error) {
	err := c.changeOrganization(authz.OrganizationsCloseAccount, "ACCOUNT", c.people.OrgAccountARN(r.GetAccountId()), func(people *iam.IAM, g authz.Grant) error {
		return people.CloseAccount(g, r.GetAccountId())
	})
	return &organizationsv1.CloseAccountResponse{}, err
}

func checkMoveAccount(v *violations, r *organizationsv1.MoveAccountRequest) {
	v.orgID("account_id", r.GetAccountId())
	v.orgID("source_parent_id", r.GetSourceParentId())
	v.orgID("destination_parent_id", r.GetDestinationParentId())
}

func moveAccount(c *call, r *organizationsv1.MoveAccountRequest) (*organizationsv1.MoveAccountResponse, error) {
	const action = authz.OrganizationsMoveAccount
	var g iam.MoveAccountGrants
	for _, on := range []struct {
		to   *authz.Grant
		kind string
		arn  string
	}{
		{&g.Account, "ACCOUNT", c.people.OrgAccountARN(r.GetAccountId())},
		{&g.Source, "PARENT", c.people.TargetARN(r.GetSourceParentId())},
		{&g.Destination, "PARENT", c.people.TargetARN(r.GetDestinationParentId())},
	} {
		var err error
		if *on.to, err = c.onOrganization(action, on.kind, on.arn); err != nil {
			return nil, err
		}
	}
	people, err := c.changingPeople()
	if err != nil {
		return nil, err
	}
	move := iam.MoveAccount{AccountID: r.GetAccountId(), SourceParentID: r.GetSourceParentId(), DestinationParentID: r.GetDestinationParentId()}
	return &organizationsv1.MoveAccountResponse{}, people.MoveAccount(g, move)
}
