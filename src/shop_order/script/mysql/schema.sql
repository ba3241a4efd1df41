-- The order database for MySQL 8 and MariaDB, at revision 0016: what `shop-order migrate` makes.
-- The first three tables are those of the specification's chapter 2; docs/decisions/tables.md tells what is wider, and why.
-- Load it into an empty database; from then on `shop-order migrate` goes on from here. A test compares both ways.

CREATE TABLE `shopping_cart` (
  `id` bigint NOT NULL,
  `user` bigint NOT NULL,
  `goods` bigint NOT NULL,
  `nums` int NOT NULL,
  `checked` smallint DEFAULT '1',
  `created_at` datetime(3) DEFAULT NULL,
  `updated_at` datetime(3) DEFAULT NULL,
  `deleted_at` datetime(3) DEFAULT NULL,
  PRIMARY KEY (`id`),
  UNIQUE KEY `uq_cart_user_goods` (`user`,`goods`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4
  /*!80017 COLLATE=utf8mb4_0900_bin */ /*M!100303 COLLATE=utf8mb4_nopad_bin */;

CREATE TABLE `order_info` (
  `id` bigint NOT NULL,
  `user` bigint NOT NULL,
  `order_sn` varchar(30) NOT NULL,
  `pay_type` varchar(20) NOT NULL DEFAULT '',
  `status` int NOT NULL DEFAULT '1',
  `trade_no` varchar(100) DEFAULT '',
  `order_mount` decimal(16,2) GENERATED ALWAYS AS ((`pay_fen` / 100.0)) VIRTUAL,
  `pay_time` datetime(3) DEFAULT NULL,
  `address` varchar(255) NOT NULL,
  `signer_name` varchar(50) NOT NULL,
  `signer_mobile` varchar(16) NOT NULL,
  `post` varchar(20) DEFAULT '',
  `note` varchar(255) DEFAULT '',
  `created_at` datetime(3) DEFAULT NULL,
  `updated_at` datetime(3) DEFAULT NULL,
  `deleted_at` datetime(3) DEFAULT NULL,
  `province` varchar(50) NOT NULL,
  `city` varchar(50) NOT NULL,
  `district` varchar(50) NOT NULL,
  `total_fen` bigint NOT NULL,
  `discount_fen` bigint NOT NULL,
  `freight_fen` bigint NOT NULL,
  `pay_fen` bigint NOT NULL,
  `expire_ms` bigint NOT NULL,
  `due_ms` bigint DEFAULT NULL,
  `payment_sn` varchar(30) NOT NULL,
  `cancel_reason` varchar(255) NOT NULL,
  `logistics_company` varchar(50) NOT NULL,
  `logistics_no` varchar(64) NOT NULL,
  `shipped_ms` bigint NOT NULL,
  `completed_ms` bigint NOT NULL,
  `refund_status` int NOT NULL,
  `version` bigint NOT NULL,
  `return_url` varchar(512) NOT NULL DEFAULT '',
  `cancel_url` varchar(512) NOT NULL DEFAULT '',
  `cancel_code` varchar(20) NOT NULL DEFAULT '',
  PRIMARY KEY (`id`),
  UNIQUE KEY `idx_order_sn` (`order_sn`),
  KEY `idx_order_user_created` (`user`,`created_at`,`id`),
  KEY `idx_order_user_status` (`user`,`status`,`created_at`,`id`),
  KEY `idx_order_created` (`created_at`,`id`),
  KEY `idx_order_due` (`due_ms`),
  KEY `idx_order_status` (`status`,`created_at`,`id`),
  CONSTRAINT `ck_order_status` CHECK ((`status` between 1 and 5)),
  CONSTRAINT `order_info_chk_1` CHECK ((`pay_fen` >= 1))
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4
  /*!80017 COLLATE=utf8mb4_0900_bin */ /*M!100303 COLLATE=utf8mb4_nopad_bin */;

CREATE TABLE `order_goods` (
  `id` bigint NOT NULL,
  `order` bigint NOT NULL,
  `goods` bigint NOT NULL,
  `goods_name` varchar(100) NOT NULL,
  `goods_image` varchar(255) DEFAULT '',
  `goods_price` decimal(16,2) GENERATED ALWAYS AS ((`price_fen` / 100.0)) VIRTUAL,
  `nums` int NOT NULL,
  `created_at` datetime(3) DEFAULT NULL,
  `updated_at` datetime(3) DEFAULT NULL,
  `deleted_at` datetime(3) DEFAULT NULL,
  `price_fen` bigint NOT NULL,
  PRIMARY KEY (`id`),
  KEY `idx_order` (`order`),
  KEY `idx_goods` (`goods`),
  CONSTRAINT `order_goods_chk_1` CHECK ((`nums` >= 1)),
  CONSTRAINT `order_goods_chk_2` CHECK ((`price_fen` >= 0))
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4
  /*!80017 COLLATE=utf8mb4_0900_bin */ /*M!100303 COLLATE=utf8mb4_nopad_bin */;

CREATE TABLE `cart_version` (
  `user` bigint NOT NULL,
  `version` bigint NOT NULL,
  PRIMARY KEY (`user`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4
  /*!80017 COLLATE=utf8mb4_0900_bin */ /*M!100303 COLLATE=utf8mb4_nopad_bin */;

CREATE TABLE `config_history` (
  `id` bigint NOT NULL AUTO_INCREMENT,
  `content` text NOT NULL,
  `digest` varchar(64) NOT NULL,
  `source` varchar(255) NOT NULL,
  `created_ms` bigint NOT NULL,
  PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4
  /*!80017 COLLATE=utf8mb4_0900_bin */ /*M!100303 COLLATE=utf8mb4_nopad_bin */;

CREATE TABLE `history_root` (
  `day` varchar(10) NOT NULL,
  `last_id` bigint NOT NULL,
  `events` bigint NOT NULL,
  `digest` tinyblob NOT NULL,
  `prev_root` tinyblob NOT NULL,
  `root` tinyblob NOT NULL,
  `key_id` varchar(16) NOT NULL,
  `signature` tinyblob NOT NULL,
  `created_ms` bigint NOT NULL,
  `fence` bigint NOT NULL,
  PRIMARY KEY (`day`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4
  /*!80017 COLLATE=utf8mb4_0900_bin */ /*M!100303 COLLATE=utf8mb4_nopad_bin */;

CREATE TABLE `idempotency_key` (
  `scope` varchar(40) NOT NULL,
  `key` varchar(255) NOT NULL,
  `command_hash` tinyblob NOT NULL,
  `order_sn` varchar(30) NOT NULL,
  `payment_sn` varchar(30) NOT NULL,
  `created_ms` bigint NOT NULL,
  PRIMARY KEY (`scope`,`key`),
  KEY `idx_key_created` (`created_ms`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4
  /*!80017 COLLATE=utf8mb4_0900_bin */ /*M!100303 COLLATE=utf8mb4_nopad_bin */;

CREATE TABLE `job_lease` (
  `name` varchar(50) NOT NULL,
  `holder` varchar(120) NOT NULL,
  `until_ms` bigint NOT NULL,
  `fence` bigint NOT NULL,
  PRIMARY KEY (`name`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4
  /*!80017 COLLATE=utf8mb4_0900_bin */ /*M!100303 COLLATE=utf8mb4_nopad_bin */;

CREATE TABLE `log_feed` (
  `event_id` bigint NOT NULL,
  `order_sn` varchar(30) NOT NULL,
  `version` bigint NOT NULL,
  `created_ms` bigint NOT NULL,
  PRIMARY KEY (`event_id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4
  /*!80017 COLLATE=utf8mb4_0900_bin */ /*M!100303 COLLATE=utf8mb4_nopad_bin */;

CREATE TABLE `order_event` (
  `order_sn` varchar(30) NOT NULL,
  `version` bigint NOT NULL,
  `id` bigint NOT NULL,
  `type` varchar(40) NOT NULL,
  `payload` blob NOT NULL,
  `prev_hash` tinyblob NOT NULL,
  `hash` tinyblob NOT NULL,
  `created_ms` bigint NOT NULL,
  PRIMARY KEY (`order_sn`,`version`),
  KEY `idx_event_id` (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4
  /*!80017 COLLATE=utf8mb4_0900_bin */ /*M!100303 COLLATE=utf8mb4_nopad_bin */;

CREATE TABLE `order_sn_claim` (
  `order_sn` varchar(30) NOT NULL,
  `order_id` bigint NOT NULL,
  `created_ms` bigint NOT NULL,
  PRIMARY KEY (`order_sn`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4
  /*!80017 COLLATE=utf8mb4_0900_bin */ /*M!100303 COLLATE=utf8mb4_nopad_bin */;

CREATE TABLE `order_sn_tombstone` (
  `order_sn` varchar(30) NOT NULL,
  `created_ms` bigint NOT NULL,
  PRIMARY KEY (`order_sn`),
  KEY `idx_tombstone_created` (`created_ms`,`order_sn`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4
  /*!80017 COLLATE=utf8mb4_0900_bin */ /*M!100303 COLLATE=utf8mb4_nopad_bin */;

CREATE TABLE `outbox` (
  `event_id` bigint NOT NULL,
  `order_sn` varchar(30) NOT NULL,
  `version` bigint NOT NULL,
  `created_ms` bigint NOT NULL,
  `tries` int NOT NULL DEFAULT '0',
  `not_before_ms` bigint NOT NULL DEFAULT '0',
  `request_id` varchar(128) NOT NULL DEFAULT '',
  `traceparent` varchar(55) NOT NULL DEFAULT '',
  PRIMARY KEY (`event_id`),
  KEY `idx_outbox_order` (`order_sn`,`version`),
  KEY `idx_outbox_held` (`not_before_ms`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4
  /*!80017 COLLATE=utf8mb4_0900_bin */ /*M!100303 COLLATE=utf8mb4_nopad_bin */;

CREATE TABLE `payment` (
  `payment_sn` varchar(30) NOT NULL,
  `order_sn` varchar(30) NOT NULL,
  `user` bigint NOT NULL,
  `payment_type` int NOT NULL,
  `trade_type` varchar(20) NOT NULL,
  `amount_fen` bigint NOT NULL,
  `state` varchar(20) NOT NULL,
  `payment_url` text NOT NULL,
  `created_ms` bigint NOT NULL,
  `expire_ms` bigint NOT NULL,
  `trade_no` varchar(100) NOT NULL,
  `paid_ms` bigint NOT NULL,
  `refunded_fen` bigint NOT NULL,
  `open_order_sn` varchar(30) DEFAULT NULL,
  `ask_ms` bigint DEFAULT NULL,
  `ask_tries` int NOT NULL DEFAULT '0',
  `close_reason` varchar(32) NOT NULL DEFAULT '',
  PRIMARY KEY (`payment_sn`),
  UNIQUE KEY `uq_payment_open` (`open_order_sn`),
  KEY `idx_payment_order` (`order_sn`),
  KEY `idx_payment_ask` (`ask_ms`),
  KEY `idx_payment_paid` (`paid_ms`,`payment_sn`),
  CONSTRAINT `ck_payment_refunded` CHECK ((`refunded_fen` <= `amount_fen`)),
  CONSTRAINT `payment_chk_1` CHECK ((`amount_fen` >= 1))
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4
  /*!80017 COLLATE=utf8mb4_0900_bin */ /*M!100303 COLLATE=utf8mb4_nopad_bin */;

CREATE TABLE `reconciliation` (
  `channel` varchar(20) NOT NULL,
  `day` varchar(10) NOT NULL,
  `our_trades` bigint NOT NULL,
  `our_paid_fen` bigint NOT NULL,
  `our_refunds` bigint NOT NULL,
  `our_refunded_fen` bigint NOT NULL,
  `bill_trades` bigint NOT NULL,
  `bill_paid_fen` bigint NOT NULL,
  `bill_refunds` bigint NOT NULL,
  `bill_refunded_fen` bigint NOT NULL,
  `differences` bigint NOT NULL,
  `settled` bigint NOT NULL,
  `waiting` bigint NOT NULL,
  `detail` text NOT NULL,
  `digest` varchar(64) NOT NULL,
  `created_ms` bigint NOT NULL,
  `fence` bigint NOT NULL,
  `bill_fee_fen` bigint DEFAULT NULL,
  `bill_discount_fen` bigint DEFAULT NULL,
  PRIMARY KEY (`channel`,`day`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4
  /*!80017 COLLATE=utf8mb4_0900_bin */ /*M!100303 COLLATE=utf8mb4_nopad_bin */;

CREATE TABLE `refund` (
  `refund_sn` varchar(30) NOT NULL,
  `payment_sn` varchar(30) NOT NULL,
  `order_sn` varchar(30) NOT NULL,
  `amount_fen` bigint NOT NULL,
  `state` varchar(20) NOT NULL,
  `reason` varchar(255) NOT NULL,
  `surplus` smallint NOT NULL,
  `created_ms` bigint NOT NULL,
  `finished_ms` bigint NOT NULL,
  `surplus_of` varchar(30) DEFAULT NULL,
  `try_ms` bigint DEFAULT NULL,
  `tries` int NOT NULL DEFAULT '0',
  `user` bigint NOT NULL DEFAULT '0',
  `type` varchar(20) NOT NULL DEFAULT 'refund_only',
  `items` varchar(4000) NOT NULL DEFAULT '',
  `freight_fen` bigint NOT NULL DEFAULT '0',
  `requested_by` varchar(10) NOT NULL DEFAULT '',
  `approvals` int NOT NULL DEFAULT '0',
  `approver` bigint NOT NULL DEFAULT '0',
  `decision` varchar(255) NOT NULL DEFAULT '',
  `parcel_company` varchar(50) NOT NULL DEFAULT '',
  `parcel_no` varchar(64) NOT NULL DEFAULT '',
  `failure` varchar(20) NOT NULL DEFAULT '',
  `out_refund_no` varchar(30) NOT NULL DEFAULT '',
  PRIMARY KEY (`refund_sn`),
  UNIQUE KEY `uq_refund_surplus` (`surplus_of`),
  KEY `idx_refund_order` (`order_sn`),
  KEY `idx_refund_try` (`try_ms`),
  KEY `idx_refund_finished` (`finished_ms`,`refund_sn`),
  KEY `idx_refund_user` (`user`,`created_ms`,`refund_sn`),
  KEY `idx_refund_state` (`state`,`created_ms`,`refund_sn`),
  KEY `idx_refund_created` (`created_ms`,`refund_sn`),
  KEY `idx_refund_out` (`out_refund_no`),
  CONSTRAINT `refund_chk_1` CHECK ((`amount_fen` >= 1))
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4
  /*!80017 COLLATE=utf8mb4_0900_bin */ /*M!100303 COLLATE=utf8mb4_nopad_bin */;

CREATE TABLE `order_info_history` (
  `id` bigint NOT NULL,
  `user` bigint NOT NULL,
  `order_sn` varchar(30) NOT NULL,
  `pay_type` varchar(20) NOT NULL,
  `status` int NOT NULL,
  `trade_no` varchar(100) DEFAULT NULL,
  `order_mount` decimal(16,2) GENERATED ALWAYS AS ((`pay_fen` / 100.0)) VIRTUAL,
  `pay_time` datetime(3) DEFAULT NULL,
  `address` varchar(255) NOT NULL,
  `signer_name` varchar(50) NOT NULL,
  `signer_mobile` varchar(16) NOT NULL,
  `post` varchar(20) DEFAULT NULL,
  `note` varchar(255) DEFAULT NULL,
  `created_at` datetime(3) DEFAULT NULL,
  `updated_at` datetime(3) DEFAULT NULL,
  `deleted_at` datetime(3) DEFAULT NULL,
  `province` varchar(50) NOT NULL,
  `city` varchar(50) NOT NULL,
  `district` varchar(50) NOT NULL,
  `total_fen` bigint NOT NULL,
  `discount_fen` bigint NOT NULL,
  `freight_fen` bigint NOT NULL,
  `pay_fen` bigint NOT NULL,
  `expire_ms` bigint NOT NULL,
  `due_ms` bigint DEFAULT NULL,
  `payment_sn` varchar(30) NOT NULL,
  `cancel_reason` varchar(255) NOT NULL,
  `logistics_company` varchar(50) NOT NULL,
  `logistics_no` varchar(64) NOT NULL,
  `shipped_ms` bigint NOT NULL,
  `completed_ms` bigint NOT NULL,
  `refund_status` int NOT NULL,
  `version` bigint NOT NULL,
  `return_url` varchar(512) NOT NULL DEFAULT '',
  `cancel_url` varchar(512) NOT NULL DEFAULT '',
  `cancel_code` varchar(20) NOT NULL DEFAULT '',
  PRIMARY KEY (`id`),
  UNIQUE KEY `idx_order_history_sn` (`order_sn`),
  KEY `idx_order_history_user` (`user`,`created_at`,`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4
  /*!80017 COLLATE=utf8mb4_0900_bin */ /*M!100303 COLLATE=utf8mb4_nopad_bin */;

CREATE TABLE `order_goods_history` (
  `id` bigint NOT NULL,
  `order` bigint NOT NULL,
  `goods` bigint NOT NULL,
  `goods_name` varchar(100) NOT NULL,
  `goods_image` varchar(255) DEFAULT NULL,
  `goods_price` decimal(16,2) GENERATED ALWAYS AS ((`price_fen` / 100.0)) VIRTUAL,
  `nums` int NOT NULL,
  `created_at` datetime(3) DEFAULT NULL,
  `updated_at` datetime(3) DEFAULT NULL,
  `deleted_at` datetime(3) DEFAULT NULL,
  `price_fen` bigint NOT NULL,
  PRIMARY KEY (`id`),
  KEY `idx_goods_history_order` (`order`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4
  /*!80017 COLLATE=utf8mb4_0900_bin */ /*M!100303 COLLATE=utf8mb4_nopad_bin */;

CREATE TABLE `payment_history` (
  `payment_sn` varchar(30) NOT NULL,
  `order_sn` varchar(30) NOT NULL,
  `user` bigint NOT NULL,
  `payment_type` int NOT NULL,
  `trade_type` varchar(20) NOT NULL,
  `amount_fen` bigint NOT NULL,
  `state` varchar(20) NOT NULL,
  `payment_url` text NOT NULL,
  `created_ms` bigint NOT NULL,
  `expire_ms` bigint NOT NULL,
  `trade_no` varchar(100) NOT NULL,
  `paid_ms` bigint NOT NULL,
  `refunded_fen` bigint NOT NULL,
  `open_order_sn` varchar(30) DEFAULT NULL,
  `ask_ms` bigint DEFAULT NULL,
  `ask_tries` int NOT NULL,
  `close_reason` varchar(32) NOT NULL DEFAULT '',
  PRIMARY KEY (`payment_sn`),
  KEY `idx_payment_history_order` (`order_sn`),
  KEY `idx_payment_history_paid` (`paid_ms`,`payment_sn`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4
  /*!80017 COLLATE=utf8mb4_0900_bin */ /*M!100303 COLLATE=utf8mb4_nopad_bin */;

CREATE TABLE `refund_history` (
  `refund_sn` varchar(30) NOT NULL,
  `payment_sn` varchar(30) NOT NULL,
  `order_sn` varchar(30) NOT NULL,
  `amount_fen` bigint NOT NULL,
  `state` varchar(20) NOT NULL,
  `reason` varchar(255) NOT NULL,
  `surplus` smallint NOT NULL,
  `created_ms` bigint NOT NULL,
  `finished_ms` bigint NOT NULL,
  `surplus_of` varchar(30) DEFAULT NULL,
  `try_ms` bigint DEFAULT NULL,
  `tries` int NOT NULL,
  `user` bigint NOT NULL DEFAULT '0',
  `type` varchar(20) NOT NULL DEFAULT 'refund_only',
  `items` varchar(4000) NOT NULL DEFAULT '',
  `freight_fen` bigint NOT NULL DEFAULT '0',
  `requested_by` varchar(10) NOT NULL DEFAULT '',
  `approvals` int NOT NULL DEFAULT '0',
  `approver` bigint NOT NULL DEFAULT '0',
  `decision` varchar(255) NOT NULL DEFAULT '',
  `parcel_company` varchar(50) NOT NULL DEFAULT '',
  `parcel_no` varchar(64) NOT NULL DEFAULT '',
  `failure` varchar(20) NOT NULL DEFAULT '',
  `out_refund_no` varchar(30) NOT NULL DEFAULT '',
  PRIMARY KEY (`refund_sn`),
  KEY `idx_refund_history_order` (`order_sn`),
  KEY `idx_refund_history_finished` (`finished_ms`,`refund_sn`),
  KEY `idx_refund_history_user` (`user`,`created_ms`,`refund_sn`),
  KEY `idx_refund_history_state` (`state`,`created_ms`,`refund_sn`),
  KEY `idx_refund_history_created` (`created_ms`,`refund_sn`),
  KEY `idx_refund_history_out` (`out_refund_no`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4
  /*!80017 COLLATE=utf8mb4_0900_bin */ /*M!100303 COLLATE=utf8mb4_nopad_bin */;

CREATE TABLE `shop_time` (
  `id` bigint NOT NULL,
  `offset_ms` bigint NOT NULL,
  PRIMARY KEY (`id`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4
  /*!80017 COLLATE=utf8mb4_0900_bin */ /*M!100303 COLLATE=utf8mb4_nopad_bin */;

CREATE TABLE `trade_no_claim` (
  `trade_no` varchar(100) NOT NULL,
  `payment_type` int NOT NULL,
  `seller` varchar(64) NOT NULL,
  `payment_sn` varchar(30) NOT NULL,
  `created_ms` bigint NOT NULL,
  PRIMARY KEY (`trade_no`,`payment_type`,`seller`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4
  /*!80017 COLLATE=utf8mb4_0900_bin */ /*M!100303 COLLATE=utf8mb4_nopad_bin */;

CREATE TRIGGER order_event_no_update BEFORE UPDATE ON order_event
  FOR EACH ROW SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'the history is append-only';

CREATE TRIGGER order_event_no_delete BEFORE DELETE ON order_event
  FOR EACH ROW SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'the history is append-only';

CREATE TRIGGER history_root_no_update BEFORE UPDATE ON history_root
  FOR EACH ROW SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'the history is append-only';

CREATE TRIGGER history_root_no_delete BEFORE DELETE ON history_root
  FOR EACH ROW SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'the history is append-only';

CREATE TABLE `alembic_version` (
  `version_num` varchar(32) NOT NULL,
  PRIMARY KEY (`version_num`)
);
INSERT INTO alembic_version (version_num) VALUES ('0016');
