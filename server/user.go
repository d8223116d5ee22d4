package server

import (
	"encoding/hex"
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/kmsd/kmsd/audit"
	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/iam"
	iamv1 "github.com/kmsd/kmsd/proto/kmsd/iam/v1"
)

// Limits of names, which iam checks too: here they only bound what goes into ARNs and events.
const (
	maxUserName    = 64
	maxUserPolicy  = 128
	maxPath        = 512
	maxDocument    = 131072
	maxCSR         = 16 << 10
	usualItems     = 100
	largestItems   = 1000
	credentialName = 128
)

func (v *violations) userName(name string) { v.text("user_name", name, 0, maxUserName) }

func (v *violations) givenUserName(name string) { v.text("user_name", name, 1, maxUserName) }

// userName is the user that a request names; without a name, the caller itself.
func (c *call) userName(given string) string {
	switch {
	case given != "":
		return given
	case c.caller().Kind == authz.Root:
		return iam.RootName
	}
	return c.credential.UserName
}

// onUser asks for an action on a user of the caller's account, whether there is such a user or not. A denial speaks of the name as it was given, since
// the path is known only of users that exist. The root user is managed by itself alone.
func (c *call) onUser(a authz.Action, name string) (authz.Grant, error) {
	r := authz.Resource{Kind: authz.IAMEntity, Account: c.account(), ARN: c.people.UserARN(c.account(), name)}
	shown := authz.Resource{Kind: authz.IAMEntity, Account: c.account(), ARN: c.people.NewUserARN(c.account(), "/", name)}
	c.touched("USER", r.ARN, r.Account, "")
	if name == iam.RootName && c.caller().Kind != authz.Root {
		c.event.Decision.Result = audit.ResultDeny
		return authz.Grant{}, c.denial(a, &shown, authz.Decision{Reason: authz.NoIdentityAllow})
	}
	g, d := c.decide(a, &r)
	if d.Verdict != authz.Allow {
		return authz.Grant{}, c.denial(a, &shown, d)
	}
	return g, nil
}

func userOf(u iam.User) *iamv1.User {
	return iamv1.User_builder{Path: u.Path, UserName: u.Name, UserId: u.ID, Arn: u.ARN, CreateDate: timestamppb.New(u.Created)}.Build()
}

func checkCreateUser(v *violations, r *iamv1.CreateUserRequest) {
	v.givenUserName(r.GetUserName())
	v.text("path", r.GetPath(), 0, maxPath)
}

func createUser(c *call, r *iamv1.CreateUserRequest) (*iamv1.CreateUserResponse, error) {
	path := r.GetPath()
	if path == "" {
		path = "/"
	}
	made := authz.Resource{Kind: authz.IAMEntity, Account: c.account(), ARN: c.people.NewUserARN(c.account(), path, r.GetUserName())}
	c.touched("USER", made.ARN, made.Account, "")
	g, err := c.allow(authz.IAMCreateUser, &made)
	if err != nil {
		return nil, err
	}
	people, err := c.changingPeople()
	if err != nil {
		return nil, err
	}
	u, err := people.CreateUser(g, c.account(), r.GetUserName(), path)
	if err != nil {
		return nil, err
	}
	return iamv1.CreateUserResponse_builder{User: userOf(u)}.Build(), nil
}

func checkGetUser(v *violations, r *iamv1.GetUserRequest) { v.userName(r.GetUserName()) }

func getUser(c *call, r *iamv1.GetUserRequest) (*iamv1.GetUserResponse, error) {
	name := c.userName(r.GetUserName())
	if _, err := c.onUser(authz.IAMGetUser, name); err != nil {
		return nil, err
	}
	u, ok := c.people.User(c.account(), name)
	if !ok {
		return nil, iam.ErrNoSuchEntity
	}
	return iamv1.GetUserResponse_builder{User: userOf(u)}.Build(), nil
}

func checkListUsers(v *violations, r *iamv1.ListUsersRequest) {
	v.text("path_prefix", r.GetPathPrefix(), 0, maxPath)
	v.limit("max_items", r.GetMaxItems(), largestItems)
}

func listUsers(c *call, r *iamv1.ListUsersRequest) (*iamv1.ListUsersResponse, error) {
	if _, err := c.allow(authz.IAMListUsers, nothing); err != nil {
		return nil, err
	}
	after, err := c.position(r.GetPathPrefix(), r.GetMarker())
	if err != nil {
		return nil, err
	}
	out := iamv1.ListUsersResponse_builder{}
	for size := pageSize(r.GetMaxItems(), usualItems); ; {
		page, more := c.people.Users(c.account(), after, largestItems)
		for _, u := range page {
			if !strings.HasPrefix(u.Path, r.GetPathPrefix()) {
				continue
			}
			if len(out.Users) == size {
				out.IsTruncated, out.Marker = true, c.marker(r.GetPathPrefix(), out.Users[size-1].GetUserName())
				return out.Build(), nil
			}
			out.Users = append(out.Users, userOf(u))
		}
		if !more {
			return out.Build(), nil
		}
		after = page[len(page)-1].Name
	}
}

func checkDeleteUser(v *violations, r *iamv1.DeleteUserRequest) { v.givenUserName(r.GetUserName()) }

func deleteUser(c *call, r *iamv1.DeleteUserRequest) (*iamv1.DeleteUserResponse, error) {
	g, err := c.onUser(authz.IAMDeleteUser, r.GetUserName())
	if err != nil {
		return nil, err
	}
	people, err := c.changingPeople()
	if err != nil {
		return nil, err
	}
	if err := people.DeleteUser(g, c.account(), r.GetUserName()); err != nil {
		return nil, err
	}
	return &iamv1.DeleteUserResponse{}, nil
}

func hexOf(b []byte) string { return hex.EncodeToString(b) }
