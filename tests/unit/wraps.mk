# Which functions a unit test replaces (ld --wrap), named one by one.
# WRAP_<part>_test_<module> := function …
WRAP_bmsd_test_bus := sd_bus_creds_get_euid
WRAP_bmsd_test_events := fdatasync fs_open_beneath write
WRAP_bmsd_test_history := fdatasync posix_fallocate64 pwrite64
WRAP_bmsd_test_served_pack := clock_gettime fdatasync fsync log_write poller_free poller_new poller_set_fet \
	posix_fallocate64 pwrite64 renameat sd_event_now time write
WRAP_bmsd_test_state := fs_write_file_atomic mkdirat
WRAP_bmsd_test_state_sections := fs_write_file_atomic
WRAP_common_test_fsutil := close fchmod fsync renameat write
WRAP_common_test_manifest := digest_fd
WRAP_release_test_publish := fsync renameat
WRAP_rescue_test_cut := fdatasync fsync mkdirat pwrite64 renameat symlinkat syncfs unlinkat
WRAP_rescue_test_rescue := fdatasync nanosleep
WRAP_tuf_test_branches := EVP_PKEY_CTX_new_from_pkey EVP_PKEY_CTX_set_rsa_padding \
	EVP_PKEY_CTX_set_rsa_pss_saltlen EVP_PKEY_get_bn_param cJSON_AddItemReferenceToObject \
	digest_sha256 digest_sha512
WRAP_tuf_test_key := EVP_DigestVerify EVP_DigestVerifyInit EVP_MD_CTX_new EVP_PKEY_eq
WRAP_tuf_test_memory := __asprintf_chk asprintf calloc fclose ferror malloc open_memstream realloc \
	reallocarray strdup
WRAP_tuf_test_roles := tuf_key_parse
WRAP_tuf_test_search := tuf_key_verify
WRAP_updaterd_test_backup := fsync
WRAP_updaterd_test_backup_fetch := http_error http_get http_limit_time http_start_range http_wait
WRAP_updaterd_test_backup_upload := client_backup client_backup_held client_backups clock_nanosleep http_error http_limit_time http_send \
	http_send_part
WRAP_updaterd_test_commands := client_close client_follow client_open client_rollback client_status
WRAP_updaterd_test_conf := time
WRAP_updaterd_test_choose := trust_find_patch trust_find_target
WRAP_updaterd_test_cycle := backup_fetch backup_upload choose_check_running choose_patch client_archived client_close client_follow client_install client_knows \
	client_open client_results client_status fetch_run http_send medium_open_file query_ask \
	time trust_fetch_target trust_find_newest trust_find_program_file trust_find_target trust_free trust_refresh
WRAP_updaterd_test_fetch := clock_gettime clock_nanosleep fdatasync pread64
WRAP_updaterd_test_full_disk := conf_effective_time_sec renameat
WRAP_updaterd_test_installer := conf_effective_time_sec geteuid
WRAP_updaterd_test_journal := fdatasync pread64 pwrite64
WRAP_updaterd_test_recover := conf_effective_time_sec fchmod fdatasync fsync mkdirat pwrite64 renameat \
	renameat2 symlinkat syncfs unlinkat write
WRAP_updaterd_test_prove := conf_effective_time_sec
WRAP_updaterd_test_self_trial := client_close client_open client_prove client_status query_ask trust_find_target trust_free trust_refresh
WRAP_updaterd_test_result := fs_read_file
WRAP_updaterd_test_stage := digest_final digest_new
WRAP_updaterd_test_store := fstatvfs64 openat64 readlinkat unlinkat
WRAP_updaterd_test_swap := faccessat fsync readlinkat renameat symlinkat syncfs
WRAP_updaterd_test_transaction := conf_effective_time_sec fdatasync fsync renameat store_check_space \
	store_would_free_enough syncfs
WRAP_updaterd_test_trust := fsync
WRAP_updaterd_test_update_time := clock_gettime time
WRAP_updaterd_test_verify := conf_effective_time_sec
WRAP_updaterd_test_way_back := agent_fetch_previous agent_user_become

# What a test needs besides the archives of its part.
$(B)/test/unit/rescue/test_binary: $(B)/bin/updaterd-rescue
$(foreach t,key metadata client roles search local bytes memory branches,$(B)/test/unit/tuf/test_$(t)): $(B)/obj/tests/lib/tuf_repo.o
$(B)/test/unit/common/test_http: $(B)/obj/tests/lib/tls_server.o
LINK_common_test_http := -lssl
WRAP_common_test_http := clock_nanosleep
$(foreach t,fetch trust,$(B)/test/unit/updaterd/test_$(t)): $(B)/obj/tests/lib/range_server.o \
	$(B)/obj/tests/lib/tls_server.o
$(foreach t,backup choose full_disk installer prove recover stage transaction verify,$(eval LINK_updaterd_test_$(t) := -ldivsufsort))
LINK_updaterd_test_fetch := -lssl
LINK_updaterd_test_trust := -lssl
$(B)/test/unit/updaterd/test_trust: $(B)/obj/tests/lib/tuf_repo.o
$(B)/test/unit/queryd/test_catalog: $(B)/obj/tests/lib/tuf_repo.o
$(B)/test/unit/updaterd/test_update_time: $(B)/obj/tests/lib/tuf_repo.o
$(foreach t,backup choose full_disk installer prove recover stage transaction verify,$(B)/test/unit/updaterd/test_$(t)): \
	$(B)/obj/tests/lib/gateway.o $(B)/obj/tests/lib/tuf_repo.o
$(B)/test/unit/tuf/test_attacks: $(foreach o,tuf_repo hostile_repo hostile_variants,$(B)/obj/tests/lib/$(o).o)
