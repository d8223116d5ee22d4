package server

import (
	"encoding/hex"
	"fmt"
	"strings"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/kmsd/kmsd/audit"
	"github.com/kmsd/kmsd/authz"
	"github.com/kmsd/kmsd/iam"
	iamv1 "github.com/kmsd/kmsd/proto/kmsd/iam/v1"
)

func (v *violations) userName(name string) { v.text("user_name", name, 0, maxUserName) }

// userName is the user that a request names; without a name, the caller itself.
func (c *call) userName(given string) string {
	switch {
	case given != "":
		return given
	case c.who.Kind == authz.Root:
		return iam.RootName
	}
	return c.who.UserName
}

// onUser is onEntity for a user. The root user is managed by itself alone.
func (c *call) onUser(a authz.Action, name string) (authz.Grant, error) {
	r, shown := c.people.UserResource(c.account(), name), c.people.NewUserARN(c.account(), "/", name)
	if name == iam.RootName && c.who.Kind != authz.Root {
		c.touched("USER", r.ARN, r.Account, "")
		c.event.Decision.Result = audit.ResultDeny
		return authz.Grant{}, c.denial(a, &authz.Resource{Kind: authz.IAMEntity, Account: r.Account, ARN: shown}, authz.Decision{Reason: authz.NoIdentityAllow})
	}
	return c.onEntity(a, "USER", r, shown)
}

func userOf(u iam.User) *iamv1.User {
	return iamv1.User_builder{Path: u.Path, UserName: u.Name, UserId: u.ID, Arn: u.ARN, CreateDate: timestamppb.New(u.Created)}.Build()
}

func checkCreateUser(v *violations, r *iamv1.CreateUserRequest) {
	v.givenUserName(r.GetUserName())
	v.text("path", r.GetPath(), 0, maxPath)
	v.text("permissions_boundary", r.GetPermissionsBoundary(), 0, maxEntityARN)
	v.tags(r.GetTags())
}

// pathOr is the path that a request has, or that which it stands for without one.
func pathOr(path string) string {
	if path == "" {
		return "/"
	}
	return path
}

func createUser(c *call, r *iamv1.CreateUserRequest) (*iamv1.CreateUserResponse, error) {
	n := iam.NewUser{Name: r.GetUserName(), Path: r.GetPath(), PermissionsBoundary: r.GetPermissionsBoundary(), Tags: c.iamTags(r.GetTags())}
	c.aboutBoundary(n.PermissionsBoundary)
	c.param(audit.String("permissionsBoundary", n.PermissionsBoundary))
	arn := c.people.NewUserARN(c.account(), pathOr(r.GetPath()), r.GetUserName())
	if len(n.Tags) > 0 {
		var err error
		if n.Tagging, err = c.onNew(authz.IAMTagUser, "USER", arn); err != nil {
			return nil, err
		}
	}
	out := iamv1.CreateUserResponse_builder{}
	err := c.changeBy(func() (authz.Grant, error) { return c.onNew(authz.IAMCreateUser, "USER", arn) }, func(people *iam.IAM, g authz.Grant) error {
		made, err := people.CreateUser(g, c.account(), n)
		out.User = userOf(made)
		out.User.SetPermissionsBoundary(boundaryOf(made.PermissionsBoundary))
		out.User.SetTags(r.GetTags())
		return err
	})
	return out.Build(), err
}

func checkGetUser(v *violations, r *iamv1.GetUserRequest) { v.userName(r.GetUserName()) }

func getUser(c *call, r *iamv1.GetUserRequest) (*iamv1.GetUserResponse, error) {
	name := c.userName(r.GetUserName())
	if _, err := c.onUser(authz.IAMGetUser, name); err != nil {
		return nil, err
	}
	u, ok := c.people.User(c.account(), name)
	if !ok {
		return nil, fmt.Errorf("%w: there is no user of this name", iam.ErrNoSuchEntity)
	}
	out := userOf(u)
	out.SetPermissionsBoundary(boundaryOf(u.PermissionsBoundary))
	out.SetTags(tagsOf(c.people.UserTags(u.ID)))
	return iamv1.GetUserResponse_builder{User: out}.Build(), nil
}

func checkUpdateUser(v *violations, r *iamv1.UpdateUserRequest) {
	v.givenUserName(r.GetUserName())
	v.text("new_user_name", r.GetNewUserName(), 0, maxUserName)
	v.text("new_path", r.GetNewPath(), 0, maxPath)
}

// updateUser needs the permission on the user as it is and as it will be.
func updateUser(c *call, r *iamv1.UpdateUserRequest) (*iamv1.UpdateUserResponse, error) {
	renamed := c.newEntity(c.people.RenamedUserARN(c.account(), r.GetUserName(), r.GetNewUserName(), r.GetNewPath()))
	renamed.Tags = c.people.UserResource(c.account(), r.GetUserName()).Tags
	to, err := c.onEntity(authz.IAMUpdateUser, "USER", renamed, renamed.ARN)
	if err != nil {
		return nil, err
	}
	return &iamv1.UpdateUserResponse{}, c.changeUser(authz.IAMUpdateUser, r.GetUserName(), func(people *iam.IAM, from authz.Grant) error {
		_, err := people.UpdateUser(from, to, c.account(), r.GetUserName(), r.GetNewUserName(), r.GetNewPath())
		return err
	})
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
	list, more := pageThrough(after, pageSize(r.GetMaxItems(), usualItems),
		func(after string) ([]iam.User, bool) { return c.people.Users(c.account(), after, largestItems) },
		func(u iam.User) string { return u.Name }, func(u iam.User) bool { return strings.HasPrefix(u.Path, r.GetPathPrefix()) })
	out := iamv1.ListUsersResponse_builder{IsTruncated: more}
	for _, u := range list {
		out.Users = append(out.Users, userOf(u))
	}
	if more {
		out.Marker = c.marker(r.GetPathPrefix(), list[len(list)-1].Name)
	}
	return out.Build(), nil
}

func checkDeleteUser(v *violations, r *iamv1.DeleteUserRequest) { v.givenUserName(r.GetUserName()) }

func deleteUser(c *call, r *iamv1.DeleteUserRequest) (*iamv1.DeleteUserResponse, error) {
	return &iamv1.DeleteUserResponse{}, c.changeUser(authz.IAMDeleteUser, r.GetUserName(), func(people *iam.IAM, g authz.Grant) error {
		return people.DeleteUser(g, c.account(), r.GetUserName())
	})
}

func hexOf(b []byte) string { return hex.EncodeToString(b) }
