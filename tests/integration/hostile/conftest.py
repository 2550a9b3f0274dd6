"""The scene of every attack: what alice has, and bob's connection, over which nothing of it may be read or changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import psycopg2
import pytest
from psycopg2.extensions import connection as Connection

from store import groups
from store.models import Trade
from tests.fix_postgres import StoreDatabase

# Whatever bob gets to see, none of these may be in it; nor does any come about by chance, as part of a time or an id.
SECRETS = ("KRYPTONITE", "471147000471147", "2718.28", "Secretive", "confidential")
MISSING = "01890000-0000-7000-8000-000000000000"
# Who may do what, as far as it is written down: attacks must not change a letter of it.
RIGHTS = """
SELECT md5(string_agg(t, ',' ORDER BY t)) FROM (
    SELECT 'role ' || concat_ws(' ', rolname, rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin,
                                rolreplication, rolbypassrls, rolconnlimit) FROM pg_roles
    WHERE rolname !~ '^pg_'
    UNION ALL SELECT 'member ' || concat_ws(' ', roleid::regrole, member::regrole, admin_option) FROM pg_auth_members
    UNION ALL SELECT 'relation ' || concat_ws(' ', relname, relowner, relacl, relrowsecurity, relforcerowsecurity,
                                              reloptions, relhastriggers, relhasrules)
              FROM pg_class WHERE relnamespace = 'store'::regnamespace
    UNION ALL SELECT 'function ' || concat_ws(' ', oid::regprocedure, proowner, proacl, prosecdef, md5(prosrc))
              FROM pg_proc WHERE pronamespace = 'store'::regnamespace
    UNION ALL SELECT 'policy ' || concat_ws(' ', polname, polrelid, polroles, polqual::text) FROM pg_policy
    UNION ALL SELECT 'schema ' || concat_ws(' ', nspname, nspacl) FROM pg_namespace
              WHERE nspname !~ '^pg_(temp|toast_temp)'
    UNION ALL SELECT 'database ' || concat_ws(' ', datname, datdba, datacl, datallowconn) FROM pg_database
    UNION ALL SELECT 'default ' || concat_ws(' ', defaclrole, defaclacl) FROM pg_default_acl
              WHERE defaclrole NOT IN ('bob'::regrole, 'store_user'::regrole)
    UNION ALL SELECT 'trigger ' || concat_ws(' ', tgrelid, tgname, tgenabled) FROM pg_trigger
    UNION ALL SELECT 'setting ' || concat_ws(' ', setdatabase, setrole::regrole, setconfig) FROM pg_db_role_setting
              WHERE setrole <> 'bob'::regrole
) rights (t)
"""
OTHERS_ROWS = {
    "object_events": "updated_by <> 'bob'",
    "object_heads": "owner <> 'bob'",
    "share_events": "grantor <> 'bob'",
    "idempotency_keys": "username <> 'bob'",
    "checkpoints": "username <> 'bob'",
    "groups": "true",
    "group_members": "true",
    "admin_events": "true",
    "limits": "true",
    "workflow_outbox": "username <> 'bob'",
    "type_shapes": "owner <> 'bob'",
}


class Scene:
    """A store in which alice has an entity of her own, one that bob may read, and one that he may change."""

    def __init__(self, store_db: StoreDatabase) -> None:
        self.db = store_db
        self.alice = store_db.client("alice")
        with store_db.admin() as admin:
            groups.create_group(admin, "confidential desk", ["alice", "carol"])
        self.secret = self.write("KRYPTONITE", readers=["confidential desk"])
        self.readable = self.write("READABLE", readers=["bob"])
        self.writable = self.write("WRITABLE", writers=["bob"])
        self.alice.write(Trade(symbol="KEYED", quantity=1, price=1.0, side="BUY"), idempotency_key="confidential key")
        with store_db.connect("alice") as conn, conn.cursor() as cursor:
            cursor.execute("SELECT store.save_checkpoint('confidential subscriber', 3)")
        self._admin = store_db.admin()
        self._admin.autocommit = True

    def write(self, symbol: str, **grants: Any) -> str:
        price = 2718.28 if symbol == "KRYPTONITE" else 1.0
        trade = Trade(symbol=symbol, quantity=1, price=price, side="BUY", trader_name="Ann Secretive")
        if symbol != "KRYPTONITE":
            trade.trader_name = "Ann"
        client = self.db.client("alice", **grants)
        entity_id = client.write(trade)
        trade.quantity = 471_147_000_471_147 if symbol == "KRYPTONITE" else 2
        client.update(trade)
        return entity_id

    def state(self) -> str:
        """Return a digest of everything that is not bob's, and of all rights."""
        digest = hashlib.sha256()
        with self._admin.cursor() as cursor:
            for table, others in OTHERS_ROWS.items():
                cursor.execute(
                    f"SELECT md5(string_agg(t::text, ',' ORDER BY t::text)) FROM store.{table} t WHERE {others}"
                )
                digest.update(str(cursor.fetchone()).encode())
            cursor.execute(RIGHTS)
            digest.update(str(cursor.fetchone()).encode())
        return digest.hexdigest()


class Attacker:
    """A user's connection, over which everything that comes back is kept: rows, notices and errors."""

    def __init__(self, conn: Connection, scene: Scene) -> None:
        self.conn = conn
        self.scene = scene
        self.heard: list[str] = []
        self.before = scene.state()  # a test in which alice changes something sets it anew
        conn.autocommit = True

    def run(self, text: str, *params: Any) -> list[tuple[Any, ...]]:
        """Run statements and return the last one's rows."""
        try:
            with self.conn.cursor() as cursor:
                cursor.execute(text, params or None)
                rows = cursor.fetchall() if cursor.description is not None else []
        except psycopg2.Error as error:
            self.heard.append(f"{error} {error.diag.message_detail} {error.diag.message_hint} {error.diag.context}")
            raise
        self.heard.append(json.dumps(rows, default=str))
        return rows

    def attempt(self, text: str, *params: Any) -> str:
        """Run statements and return how it ended: the rows, or the error."""
        try:
            return repr(self.run(text, *params))
        except psycopg2.Error as error:
            return f"{error.pgcode} {error.diag.message_primary} {error.diag.message_detail}"


@pytest.fixture(scope="module")
def scene(module_store_db: StoreDatabase) -> Scene:
    return Scene(module_store_db)


@pytest.fixture
def bob(scene: Scene) -> Iterator[Attacker]:
    """Bob's connection; afterwards nothing of others has changed, and nothing of alice's own entity was to be seen."""
    attacker = Attacker(scene.db.connect("bob"), scene)
    yield attacker
    attacker.heard += attacker.conn.notices
    attacker.conn.close()
    assert scene.state() == attacker.before, "something that is not bob's has changed"
    heard = "\n".join(attacker.heard)
    assert [secret for secret in SECRETS if secret in heard] == []
