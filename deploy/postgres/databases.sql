-- Makes the three databases, each with an owner role (migrations) and an application role (no DDL).
-- Run by psql as a superuser: by `make run` and by the Docker image's first start alike. Passwords come from the
-- environment. May be run again: what exists is kept, passwords are set anew. PostgreSQL 15 to 18.

\set ON_ERROR_STOP on
SET password_encryption = 'scram-sha-256';

\getenv intake_owner_password INTAKE_OWNER_PASSWORD
\getenv intake_app_password INTAKE_APP_PASSWORD
\getenv assignment_owner_password ASSIGNMENT_OWNER_PASSWORD
\getenv assignment_app_password ASSIGNMENT_APP_PASSWORD
\getenv mailer_owner_password MAILER_OWNER_PASSWORD
\getenv mailer_app_password MAILER_APP_PASSWORD

CREATE TEMPORARY TABLE wanted_role (name text PRIMARY KEY, password text NOT NULL);
INSERT INTO wanted_role VALUES
    ('intake_owner', :'intake_owner_password'), ('intake_app', :'intake_app_password'),
    ('assignment_owner', :'assignment_owner_password'), ('assignment_app', :'assignment_app_password'),
    ('mailer_owner', :'mailer_owner_password'), ('mailer_app', :'mailer_app_password');

SELECT format('CREATE ROLE %I LOGIN', name)
FROM wanted_role WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) \gexec
SELECT format('ALTER ROLE %I PASSWORD %L', name, password) FROM wanted_role \gexec
-- A refused row is named in the answer; in full, with names and addresses, it would stand in the server's log.
SELECT format('ALTER ROLE %I SET log_error_verbosity = terse', name) FROM wanted_role \gexec
SELECT format('CREATE DATABASE %I OWNER %I', name, name || '_owner')
FROM (VALUES ('intake'), ('assignment'), ('mailer')) AS wanted (name)
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = name) \gexec

-- Nobody but its two roles connects to a database; tables that the owner makes are usable by the application.
SELECT format('REVOKE ALL ON DATABASE %I FROM PUBLIC', name),
       format('GRANT CONNECT ON DATABASE %I TO %I', name, name || '_app')
FROM (VALUES ('intake'), ('assignment'), ('mailer')) AS wanted (name) \gexec

\connect intake
\set owner intake_owner
\set app intake_app
\ir schema_privileges.psql
\connect assignment
\set owner assignment_owner
\set app assignment_app
\ir schema_privileges.psql
\connect mailer
\set owner mailer_owner
\set app mailer_app
\ir schema_privileges.psql
