CREATE ROLE sales NOLOGIN;
CREATE ROLE app LOGIN PASSWORD 'app''s secret' CONNECTION LIMIT 5 IN ROLE sales;
CREATE DATABASE crm OWNER sales;
\connect crm
CREATE TABLE customers (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL, city text);
INSERT INTO customers (name, city)
    SELECT 'Customer ' || n, (ARRAY['Lyon', 'Turin', 'Zoë''s']) [1 + n % 3] FROM generate_series(1, 2000) n;
CREATE TABLE visits (customer int REFERENCES customers, at timestamptz);
INSERT INTO visits
    SELECT 1 + n % 2000, '2026-01-01'::timestamptz + n * interval '1 min' FROM generate_series(1, 10000) n;
ALTER TABLE customers OWNER TO sales;
ALTER TABLE visits OWNER TO sales;
GRANT SELECT (id, name) ON customers TO app;
