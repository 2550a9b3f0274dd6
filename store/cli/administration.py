"""The commands of `python -m store` that look after users and groups."""

from __future__ import annotations

from contextlib import closing

import click

from store import groups as store_groups
from store import users as store_users
from store.cli.rendering import counted
from store.cli.target import NEW_PASSWORD, Target, ask_password
from store.connection import connect

__all__ = ["groups", "password", "trail", "users"]

FOUNDER = "the login of whoever set the store up"  # an administrator makes no users


@click.group(invoke_without_command=True)
@click.pass_context
def users(context: click.Context) -> None:
    """List the users; add, disable and enable them."""
    if context.invoked_subcommand is None:
        target: Target = context.obj
        with target.administer() as conn:
            target.out.rows(["user", "reads_all", "admin", "enabled"], store_users.list_users(conn))


@users.command("add")
@click.argument("name")
@click.option("--reads-all", is_flag=True, help="May read every entity: a bridge, an auditor.")
@click.option("--admin", is_flag=True, help="May read and change every entity, and look after groups.")
@click.pass_obj
def add_user(target: Target, name: str, reads_all: bool, admin: bool) -> None:
    """Add a user, or set an existing one's password and rights.

    An existing user who read all, or was an administrator, goes on being so only with the option.
    """
    with target.administer(takes=FOUNDER) as conn:
        secret = _new_password(name)
        store_users.provision_user(conn, name, secret, reads_all=reads_all, admin=admin)
    target.out.line(f"user {name} is ready", user=name, reads_all=reads_all, admin=admin, enabled=True)


@users.command("password")
@click.argument("name")
@click.pass_obj
def user_password(target: Target, name: str) -> None:
    """Set a user's password; what it may do stays."""
    with target.administer(takes=FOUNDER) as conn:
        store_users.change_password(conn, name, _new_password(name))
    target.out.line(f"user {name} has a new password", user=name)


@users.command()
@click.argument("name")
@click.pass_obj
def disable(target: Target, name: str) -> None:
    """Refuse a user's login and end its sessions; what it wrote stays."""
    with target.administer(takes=FOUNDER) as conn:
        store_users.disable_user(conn, name)
    target.out.line(f"user {name} can no longer log in", user=name, enabled=False)


@users.command()
@click.argument("name")
@click.pass_obj
def enable(target: Target, name: str) -> None:
    """Let a disabled user log in again."""
    with target.administer(takes=FOUNDER) as conn:
        store_users.enable_user(conn, name)
    target.out.line(f"user {name} can log in again", user=name, enabled=True)


@click.group(invoke_without_command=True)
@click.pass_context
def groups(context: click.Context) -> None:
    """List the groups; add, fill, empty and drop them."""
    if context.invoked_subcommand is None:
        target: Target = context.obj
        with target.administer() as conn:
            found = store_groups.list_groups(conn)
        if target.out.as_json:
            target.out.rows(["group", "members"], found)
        else:
            target.out.rows(["group", "members"], [(name, ", ".join(members)) for name, members in found])


@groups.command("add")
@click.argument("name")
@click.argument("members", nargs=-1)
@click.pass_obj
def add_group(target: Target, name: str, members: tuple[str, ...]) -> None:
    """Create a group of users."""
    with target.administer() as conn:
        store_groups.create_group(conn, name, members)
    target.out.line(f"group {name} is ready", group=name, members=sorted(set(members)))


@groups.command()
@click.argument("name")
@click.argument("members", nargs=-1, required=True)
@click.pass_obj
def join(target: Target, name: str, members: tuple[str, ...]) -> None:
    """Add users to a group."""
    with target.administer() as conn:
        store_groups.add_members(conn, name, members)
    target.out.line(f"{', '.join(members)} in group {name}", group=name, joined=list(members))


@groups.command()
@click.argument("name")
@click.argument("members", nargs=-1, required=True)
@click.pass_obj
def leave(target: Target, name: str, members: tuple[str, ...]) -> None:
    """Take users out of a group."""
    with target.administer() as conn:
        store_groups.remove_members(conn, name, members)
    target.out.line(f"{', '.join(members)} no longer in group {name}", group=name, left=list(members))


@groups.command()
@click.argument("name")
@click.pass_obj
def drop(target: Target, name: str) -> None:
    """Drop a group, and withdraw all that was granted to it."""
    with target.administer() as conn:
        entities = store_groups.drop_group(conn, name)
    shared = counted(entities, "entity was", "entities were")
    target.out.line(f"group {name} is gone; {shared} shared with it", group=name, entities=entities)


@click.command()
@click.pass_obj
def trail(target: Target) -> None:
    """Show who administered users, groups and published types."""
    with target.administer() as conn:
        target.out.rows(["at", "actor", "action", "subject", "detail"], store_groups.administration(conn))


@click.command()
@click.pass_obj
def password(target: Target) -> None:
    """Set your own password."""
    with target.login() as login, closing(connect(login)) as conn:
        store_users.change_own_password(conn, _new_password(target.user))
    target.out.line(f"user {target.user} has a new password", user=target.user)


def _new_password(name: str) -> str:
    found = ask_password(NEW_PASSWORD, f"New password of {name}", confirm=True)
    if found is None:
        raise click.UsageError(f"set {NEW_PASSWORD}, or run this on a terminal to be asked for the password")
    return found
