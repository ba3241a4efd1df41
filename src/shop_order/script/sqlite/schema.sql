-- The order database for SQLite: what the migrations make, written by `make schema`.
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL,
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0016');
CREATE TABLE cart_version (
	user INTEGER NOT NULL,
	version BIGINT NOT NULL,
	PRIMARY KEY (user)
);
CREATE TABLE config_history (
	id INTEGER NOT NULL,
	content TEXT NOT NULL,
	digest VARCHAR(64) NOT NULL,
	source VARCHAR(255) NOT NULL,
	created_ms BIGINT NOT NULL,
	PRIMARY KEY (id)
);
CREATE TABLE history_root (
	day VARCHAR(10) NOT NULL,
	last_id BIGINT NOT NULL,
	events BIGINT NOT NULL,
	digest BLOB NOT NULL,
	prev_root BLOB NOT NULL,
	root BLOB NOT NULL,
	key_id VARCHAR(16) NOT NULL,
	signature BLOB NOT NULL,
	created_ms BIGINT NOT NULL,
	fence BIGINT NOT NULL,
	PRIMARY KEY (day)
)
 WITHOUT ROWID
;
CREATE TABLE idempotency_key (
	scope VARCHAR(40) NOT NULL,
	"key" VARCHAR(255) NOT NULL,
	command_hash BLOB NOT NULL,
	order_sn VARCHAR(30) NOT NULL,
	payment_sn VARCHAR(30) NOT NULL,
	created_ms BIGINT NOT NULL,
	PRIMARY KEY (scope, "key")
)
 WITHOUT ROWID
;
CREATE TABLE job_lease (
	name VARCHAR(50) NOT NULL,
	holder VARCHAR(120) NOT NULL,
	until_ms BIGINT NOT NULL,
	fence BIGINT NOT NULL,
	PRIMARY KEY (name)
);
CREATE TABLE log_feed (
	event_id INTEGER NOT NULL,
	order_sn VARCHAR(30) NOT NULL,
	version BIGINT NOT NULL,
	created_ms BIGINT NOT NULL,
	PRIMARY KEY (event_id)
);
CREATE TABLE order_event (
	order_sn VARCHAR(30) NOT NULL,
	version BIGINT NOT NULL,
	id BIGINT NOT NULL,
	type VARCHAR(40) NOT NULL,
	payload BLOB NOT NULL,
	prev_hash BLOB NOT NULL,
	hash BLOB NOT NULL,
	created_ms BIGINT NOT NULL,
	PRIMARY KEY (order_sn, version)
)
 WITHOUT ROWID
;
CREATE TABLE order_goods (
	id INTEGER NOT NULL,
	"order" BIGINT NOT NULL,
	goods BIGINT NOT NULL,
	goods_name VARCHAR(100) NOT NULL,
	goods_image VARCHAR(255) DEFAULT '',
	goods_price NUMERIC(16, 2) GENERATED ALWAYS AS (price_fen / 100.0) VIRTUAL,
	nums INTEGER NOT NULL CHECK (nums >= 1),
	created_at VARCHAR(23),
	updated_at VARCHAR(23),
	deleted_at VARCHAR(23),
	price_fen BIGINT NOT NULL CHECK (price_fen >= 0),
	PRIMARY KEY (id)
);
CREATE TABLE order_goods_history (
	id INTEGER NOT NULL,
	"order" BIGINT NOT NULL,
	goods BIGINT NOT NULL,
	goods_name VARCHAR(100) NOT NULL,
	goods_image VARCHAR(255),
	goods_price NUMERIC(16, 2) GENERATED ALWAYS AS (price_fen / 100.0) VIRTUAL,
	nums INTEGER NOT NULL,
	created_at VARCHAR(23),
	updated_at VARCHAR(23),
	deleted_at VARCHAR(23),
	price_fen BIGINT NOT NULL,
	PRIMARY KEY (id)
);
CREATE TABLE order_info (
	id INTEGER NOT NULL,
	user BIGINT NOT NULL,
	order_sn VARCHAR(30) NOT NULL,
	pay_type VARCHAR(20) DEFAULT '' NOT NULL,
	status INTEGER DEFAULT '1' NOT NULL,
	trade_no VARCHAR(100) DEFAULT '',
	order_mount NUMERIC(16, 2) GENERATED ALWAYS AS (pay_fen / 100.0) VIRTUAL,
	pay_time VARCHAR(23),
	address VARCHAR(255) NOT NULL,
	signer_name VARCHAR(50) NOT NULL,
	signer_mobile VARCHAR(16) NOT NULL,
	post VARCHAR(20) DEFAULT '',
	note VARCHAR(255) DEFAULT '',
	created_at VARCHAR(23),
	updated_at VARCHAR(23),
	deleted_at VARCHAR(23),
	province VARCHAR(50) NOT NULL,
	city VARCHAR(50) NOT NULL,
	district VARCHAR(50) NOT NULL,
	total_fen BIGINT NOT NULL,
	discount_fen BIGINT NOT NULL,
	freight_fen BIGINT NOT NULL,
	pay_fen BIGINT NOT NULL CHECK (pay_fen >= 1),
	expire_ms BIGINT NOT NULL,
	due_ms BIGINT,
	payment_sn VARCHAR(30) NOT NULL,
	cancel_reason VARCHAR(255) NOT NULL,
	logistics_company VARCHAR(50) NOT NULL,
	logistics_no VARCHAR(64) NOT NULL,
	shipped_ms BIGINT NOT NULL,
	completed_ms BIGINT NOT NULL,
	refund_status INTEGER NOT NULL,
	version BIGINT NOT NULL, return_url VARCHAR(512) DEFAULT '' NOT NULL, cancel_url VARCHAR(512) DEFAULT '' NOT NULL, cancel_code VARCHAR(20) DEFAULT '' NOT NULL,
	PRIMARY KEY (id),
	CONSTRAINT idx_order_sn UNIQUE (order_sn),
	CONSTRAINT ck_order_status CHECK (status BETWEEN 1 AND 5)
);
CREATE TABLE order_info_history (
	id INTEGER NOT NULL,
	user BIGINT NOT NULL,
	order_sn VARCHAR(30) NOT NULL,
	pay_type VARCHAR(20) NOT NULL,
	status INTEGER NOT NULL,
	trade_no VARCHAR(100),
	order_mount NUMERIC(16, 2) GENERATED ALWAYS AS (pay_fen / 100.0) VIRTUAL,
	pay_time VARCHAR(23),
	address VARCHAR(255) NOT NULL,
	signer_name VARCHAR(50) NOT NULL,
	signer_mobile VARCHAR(16) NOT NULL,
	post VARCHAR(20),
	note VARCHAR(255),
	created_at VARCHAR(23),
	updated_at VARCHAR(23),
	deleted_at VARCHAR(23),
	province VARCHAR(50) NOT NULL,
	city VARCHAR(50) NOT NULL,
	district VARCHAR(50) NOT NULL,
	total_fen BIGINT NOT NULL,
	discount_fen BIGINT NOT NULL,
	freight_fen BIGINT NOT NULL,
	pay_fen BIGINT NOT NULL,
	expire_ms BIGINT NOT NULL,
	due_ms BIGINT,
	payment_sn VARCHAR(30) NOT NULL,
	cancel_reason VARCHAR(255) NOT NULL,
	logistics_company VARCHAR(50) NOT NULL,
	logistics_no VARCHAR(64) NOT NULL,
	shipped_ms BIGINT NOT NULL,
	completed_ms BIGINT NOT NULL,
	refund_status INTEGER NOT NULL,
	version BIGINT NOT NULL, return_url VARCHAR(512) DEFAULT '' NOT NULL, cancel_url VARCHAR(512) DEFAULT '' NOT NULL, cancel_code VARCHAR(20) DEFAULT '' NOT NULL,
	PRIMARY KEY (id),
	CONSTRAINT idx_order_history_sn UNIQUE (order_sn)
);
CREATE TABLE order_sn_claim (
	order_sn VARCHAR(30) NOT NULL,
	order_id BIGINT NOT NULL,
	created_ms BIGINT NOT NULL,
	PRIMARY KEY (order_sn)
)
 WITHOUT ROWID
;
CREATE TABLE order_sn_tombstone (
	order_sn VARCHAR(30) NOT NULL,
	created_ms BIGINT NOT NULL,
	PRIMARY KEY (order_sn)
)
 WITHOUT ROWID
;
CREATE TABLE outbox (
	event_id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
	order_sn VARCHAR(30) NOT NULL,
	version BIGINT NOT NULL,
	created_ms BIGINT NOT NULL,
	tries INTEGER DEFAULT '0' NOT NULL,
	not_before_ms BIGINT DEFAULT '0' NOT NULL
, request_id VARCHAR(128) DEFAULT '' NOT NULL, traceparent VARCHAR(55) DEFAULT '' NOT NULL);
CREATE TABLE payment (
	payment_sn VARCHAR(30) NOT NULL,
	order_sn VARCHAR(30) NOT NULL,
	user BIGINT NOT NULL,
	payment_type INTEGER NOT NULL,
	trade_type VARCHAR(20) NOT NULL,
	amount_fen BIGINT NOT NULL CHECK (amount_fen >= 1),
	state VARCHAR(20) NOT NULL,
	payment_url TEXT NOT NULL,
	created_ms BIGINT NOT NULL,
	expire_ms BIGINT NOT NULL,
	trade_no VARCHAR(100) NOT NULL,
	paid_ms BIGINT NOT NULL,
	refunded_fen BIGINT NOT NULL,
	open_order_sn VARCHAR(30),
	ask_ms BIGINT,
	ask_tries INTEGER DEFAULT '0' NOT NULL, close_reason VARCHAR(32) DEFAULT '' NOT NULL,
	PRIMARY KEY (payment_sn),
	CONSTRAINT ck_payment_refunded CHECK (refunded_fen <= amount_fen),
	CONSTRAINT uq_payment_open UNIQUE (open_order_sn)
);
CREATE TABLE payment_history (
	payment_sn VARCHAR(30) NOT NULL,
	order_sn VARCHAR(30) NOT NULL,
	user BIGINT NOT NULL,
	payment_type INTEGER NOT NULL,
	trade_type VARCHAR(20) NOT NULL,
	amount_fen BIGINT NOT NULL,
	state VARCHAR(20) NOT NULL,
	payment_url TEXT NOT NULL,
	created_ms BIGINT NOT NULL,
	expire_ms BIGINT NOT NULL,
	trade_no VARCHAR(100) NOT NULL,
	paid_ms BIGINT NOT NULL,
	refunded_fen BIGINT NOT NULL,
	open_order_sn VARCHAR(30),
	ask_ms BIGINT,
	ask_tries INTEGER NOT NULL, close_reason VARCHAR(32) DEFAULT '' NOT NULL,
	PRIMARY KEY (payment_sn)
);
CREATE TABLE reconciliation (
	channel VARCHAR(20) NOT NULL,
	day VARCHAR(10) NOT NULL,
	our_trades BIGINT NOT NULL,
	our_paid_fen BIGINT NOT NULL,
	our_refunds BIGINT NOT NULL,
	our_refunded_fen BIGINT NOT NULL,
	bill_trades BIGINT NOT NULL,
	bill_paid_fen BIGINT NOT NULL,
	bill_refunds BIGINT NOT NULL,
	bill_refunded_fen BIGINT NOT NULL,
	differences BIGINT NOT NULL,
	settled BIGINT NOT NULL,
	waiting BIGINT NOT NULL,
	detail TEXT NOT NULL,
	digest VARCHAR(64) NOT NULL,
	created_ms BIGINT NOT NULL,
	fence BIGINT NOT NULL, bill_fee_fen BIGINT, bill_discount_fen BIGINT,
	PRIMARY KEY (channel, day)
)
 WITHOUT ROWID
;
CREATE TABLE refund (
	refund_sn VARCHAR(30) NOT NULL,
	payment_sn VARCHAR(30) NOT NULL,
	order_sn VARCHAR(30) NOT NULL,
	amount_fen BIGINT NOT NULL CHECK (amount_fen >= 1),
	state VARCHAR(20) NOT NULL,
	reason VARCHAR(255) NOT NULL,
	surplus SMALLINT NOT NULL,
	created_ms BIGINT NOT NULL,
	finished_ms BIGINT NOT NULL,
	surplus_of VARCHAR(30),
	try_ms BIGINT,
	tries INTEGER DEFAULT '0' NOT NULL, user BIGINT DEFAULT '0' NOT NULL, type VARCHAR(20) DEFAULT 'refund_only' NOT NULL, items VARCHAR(4000) DEFAULT '' NOT NULL, freight_fen BIGINT DEFAULT '0' NOT NULL, requested_by VARCHAR(10) DEFAULT '' NOT NULL, approvals INTEGER DEFAULT '0' NOT NULL, approver BIGINT DEFAULT '0' NOT NULL, decision VARCHAR(255) DEFAULT '' NOT NULL, parcel_company VARCHAR(50) DEFAULT '' NOT NULL, parcel_no VARCHAR(64) DEFAULT '' NOT NULL, failure VARCHAR(20) DEFAULT '' NOT NULL, out_refund_no VARCHAR(30) DEFAULT '' NOT NULL,
	PRIMARY KEY (refund_sn),
	CONSTRAINT uq_refund_surplus UNIQUE (surplus_of)
);
CREATE TABLE refund_history (
	refund_sn VARCHAR(30) NOT NULL,
	payment_sn VARCHAR(30) NOT NULL,
	order_sn VARCHAR(30) NOT NULL,
	amount_fen BIGINT NOT NULL,
	state VARCHAR(20) NOT NULL,
	reason VARCHAR(255) NOT NULL,
	surplus SMALLINT NOT NULL,
	created_ms BIGINT NOT NULL,
	finished_ms BIGINT NOT NULL,
	surplus_of VARCHAR(30),
	try_ms BIGINT,
	tries INTEGER NOT NULL, user BIGINT DEFAULT '0' NOT NULL, type VARCHAR(20) DEFAULT 'refund_only' NOT NULL, items VARCHAR(4000) DEFAULT '' NOT NULL, freight_fen BIGINT DEFAULT '0' NOT NULL, requested_by VARCHAR(10) DEFAULT '' NOT NULL, approvals INTEGER DEFAULT '0' NOT NULL, approver BIGINT DEFAULT '0' NOT NULL, decision VARCHAR(255) DEFAULT '' NOT NULL, parcel_company VARCHAR(50) DEFAULT '' NOT NULL, parcel_no VARCHAR(64) DEFAULT '' NOT NULL, failure VARCHAR(20) DEFAULT '' NOT NULL, out_refund_no VARCHAR(30) DEFAULT '' NOT NULL,
	PRIMARY KEY (refund_sn)
);
CREATE TABLE shop_time (
	id INTEGER NOT NULL,
	offset_ms BIGINT NOT NULL,
	PRIMARY KEY (id)
);
CREATE TABLE shopping_cart (
	id INTEGER NOT NULL,
	user BIGINT NOT NULL,
	goods BIGINT NOT NULL,
	nums INTEGER NOT NULL,
	checked SMALLINT DEFAULT '1',
	created_at VARCHAR(23),
	updated_at VARCHAR(23),
	deleted_at VARCHAR(23),
	PRIMARY KEY (id),
	CONSTRAINT uq_cart_user_goods UNIQUE (user, goods)
);
CREATE TABLE trade_no_claim (
	trade_no VARCHAR(100) NOT NULL,
	payment_type INTEGER NOT NULL,
	seller VARCHAR(64) NOT NULL,
	payment_sn VARCHAR(30) NOT NULL,
	created_ms BIGINT NOT NULL,
	PRIMARY KEY (trade_no, payment_type, seller)
)
 WITHOUT ROWID
;
CREATE INDEX idx_order_user_created ON order_info (user, created_at, id);
CREATE INDEX idx_order_user_status ON order_info (user, status, created_at, id);
CREATE INDEX idx_order_created ON order_info (created_at, id);
CREATE INDEX idx_order_due ON order_info (due_ms);
CREATE INDEX idx_order ON order_goods ("order");
CREATE INDEX idx_goods ON order_goods (goods);
CREATE INDEX idx_outbox_order ON outbox (order_sn, version);
CREATE INDEX idx_outbox_held ON outbox (not_before_ms) WHERE not_before_ms > 0;
CREATE INDEX idx_payment_order ON payment (order_sn);
CREATE INDEX idx_payment_ask ON payment (ask_ms);
CREATE INDEX idx_refund_order ON refund (order_sn);
CREATE INDEX idx_refund_try ON refund (try_ms);
CREATE INDEX idx_key_created ON idempotency_key (created_ms);
CREATE TRIGGER order_event_no_update BEFORE UPDATE ON order_event
    BEGIN SELECT RAISE(ABORT, 'the history is append-only'); END;
CREATE TRIGGER order_event_no_delete BEFORE DELETE ON order_event
    BEGIN SELECT RAISE(ABORT, 'the history is append-only'); END;
CREATE TRIGGER order_event_no_second BEFORE INSERT ON order_event
    WHEN EXISTS (SELECT 1 FROM order_event WHERE order_sn = NEW.order_sn AND version = NEW.version)
    BEGIN SELECT RAISE(ABORT, 'the history is append-only'); END;
CREATE INDEX idx_order_history_user ON order_info_history (user, created_at, id);
CREATE INDEX idx_goods_history_order ON order_goods_history ("order");
CREATE INDEX idx_payment_history_order ON payment_history (order_sn);
CREATE INDEX idx_refund_history_order ON refund_history (order_sn);
CREATE INDEX idx_order_status ON order_info (status, created_at, id);
CREATE TRIGGER history_root_no_update BEFORE UPDATE ON history_root
    BEGIN SELECT RAISE(ABORT, 'the history is append-only'); END;
CREATE TRIGGER history_root_no_delete BEFORE DELETE ON history_root
    BEGIN SELECT RAISE(ABORT, 'the history is append-only'); END;
CREATE TRIGGER history_root_no_second BEFORE INSERT ON history_root
    WHEN EXISTS (SELECT 1 FROM history_root WHERE day = NEW.day)
    BEGIN SELECT RAISE(ABORT, 'the history is append-only'); END;
CREATE INDEX idx_event_id ON order_event (id);
CREATE INDEX idx_payment_paid ON payment (paid_ms, payment_sn);
CREATE INDEX idx_payment_history_paid ON payment_history (paid_ms, payment_sn);
CREATE INDEX idx_refund_finished ON refund (finished_ms, refund_sn);
CREATE INDEX idx_refund_history_finished ON refund_history (finished_ms, refund_sn);
CREATE INDEX idx_tombstone_created ON order_sn_tombstone (created_ms, order_sn);
CREATE INDEX idx_refund_user ON refund (user, created_ms, refund_sn);
CREATE INDEX idx_refund_state ON refund (state, created_ms, refund_sn);
CREATE INDEX idx_refund_created ON refund (created_ms, refund_sn);
CREATE INDEX idx_refund_out ON refund (out_refund_no);
CREATE INDEX idx_refund_history_user ON refund_history (user, created_ms, refund_sn);
CREATE INDEX idx_refund_history_state ON refund_history (state, created_ms, refund_sn);
CREATE INDEX idx_refund_history_created ON refund_history (created_ms, refund_sn);
CREATE INDEX idx_refund_history_out ON refund_history (out_refund_no);
