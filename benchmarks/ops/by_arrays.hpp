#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <vector>

#include "benchmarks/ops/contender.hpp"

// The work as it is written with array expressions, derivatives by hand, one assignment for each result. Library says
// how its arrays (rows, cols), rows (cols) and columns (rows) are made, filled, assigned to without a copy in between,
// reduced and repeated.

namespace bench::ops {

template <class T, class Library>
class ArrayStatement : public Contender<T> {
    using L = Library;

public:
    explicit ArrayStatement(const Statement<T>& work)
        : work_(work), y_(blank()), s_(blank()), u_(blank()), t_(blank()), dy_(blank()) {
        for (std::size_t k = 0; k < 5; ++k) {
            x_[k] = dx_[k] = blank();
            if (!(work.row_c && k == 2)) L::fill(x_[k], work.operands[k]);
        }
        L::fill(dy_, work.dy);
        c_ = dc_ = t_row_ = L::row(work.cols);
        if (work.row_c) L::fill(c_, work.operands[2]);
    }

    void run() override {
        if (work_.row_c) return run_with_row();
        const auto& [a, b, c, d, e] = x_;
        auto& [da, db, dc, dd, de] = dx_;
        const T tenth = static_cast<T>(0.1), fifth = static_cast<T>(0.2), one = 1;
        switch (work_.ops) {
            case 1:
                L::set(y_, a * b);
                L::set(da, dy_ * b);
                L::set(db, dy_ * a);
                break;
            case 2:
                L::set(y_, a * b + c);
                L::set(da, dy_ * b);
                L::set(db, dy_ * a);
                L::set(dc, dy_);
                break;
            case 4:
                L::set(s_, L::sigmoid(a));
                L::set(t_, L::tanh(c));
                L::set(y_, s_ * b + t_);
                L::set(da, dy_ * b * s_ * (one - s_));
                L::set(db, dy_ * s_);
                L::set(dc, dy_ * (one - t_ * t_));
                break;
            case 8:
                L::set(s_, L::sigmoid(a));
                L::set(u_, L::sigmoid(c));
                L::set(t_, L::tanh(d));
                L::set(y_, s_ * b + u_ * t_ + tenth * e);
                L::set(da, dy_ * b * s_ * (one - s_));
                L::set(db, dy_ * s_);
                L::set(dc, dy_ * t_ * u_ * (one - u_));
                L::set(dd, dy_ * u_ * (one - t_ * t_));
                L::set(de, tenth * dy_);
                break;
            default:
                L::set(s_, L::sigmoid(a + e));
                L::set(u_, L::sigmoid(c - e));
                L::set(t_, L::tanh(d * e));
                L::set(y_, s_ * b + u_ * t_ + tenth * b * b);
                L::set(da, dy_ * b * s_ * (one - s_));
                L::set(db, dy_ * (s_ + fifth * b));
                L::set(dc, dy_ * t_ * u_ * (one - u_));
                L::set(dd, dy_ * u_ * (one - t_ * t_) * e);
                L::set(de, da - dc + dy_ * u_ * (one - t_ * t_) * d);
        }
    }

    std::vector<Buffer<T>> results() override {
        std::vector<Buffer<T>> all{L::buffer(y_)};
        for (std::size_t k = 0; k < work_.used(); ++k)
            all.push_back(work_.row_c && k == 2 ? L::buffer(dc_) : L::buffer(dx_[k]));
        return all;
    }

private:
    typename L::Array blank() const { return L::array(work_.rows, work_.cols); }

    // sigmoid(a) * b + tanh(c) with a row c.
    void run_with_row() {
        const T one(1);
        L::set(s_, L::sigmoid(x_[0]));
        L::set(t_row_, L::tanh(c_));
        L::set(y_, L::plus_row(s_ * x_[1], t_row_));
        L::set(dx_[0], dy_ * x_[1] * s_ * (one - s_));
        L::set(dx_[1], dy_ * s_);
        L::set(dc_, L::sum_of_rows(dy_));
        L::set(dc_, dc_ * (one - t_row_ * t_row_));
    }

    const Statement<T>& work_;
    typename L::Array y_, s_, u_, t_, dy_;
    std::array<typename L::Array, 5> x_, dx_;
    typename L::Row c_, dc_, t_row_;
};

template <class T, class Library>
class ArrayReduction : public Contender<T> {
    using L = Library;
    using Over = typename Reduction<T>::Over;

public:
    explicit ArrayReduction(const Reduction<T>& work)
        : work_(work),
          x_(L::array(work.rows, work.cols)),
          dx_(x_),
          row_(L::row(work.cols)),
          drow_(row_),
          column_(L::column(work.rows)),
          dcolumn_(column_) {
        L::fill(x_, work.x);
        if (work.over == Over::first) L::fill(drow_, work.dy);
        if (work.over == Over::last) L::fill(dcolumn_, work.dy);
    }

    void run() override {
        const T scale = static_cast<T>(1 / work_.divisor());
        switch (work_.over) {
            case Over::first:
                L::set(row_, L::sum_of_rows(x_) * scale);
                L::set(dx_, L::repeated_row(drow_ * scale, work_.rows));
                break;
            case Over::last:
                L::set(column_, L::sum_of_columns(x_) * scale);
                L::set(dx_, L::repeated_column(dcolumn_ * scale, work_.cols));
                break;
            case Over::both: all_ = L::sum(x_) * scale; dx_.fill(work_.dy[0] * scale);
        }
    }
    std::vector<Buffer<T>> results() override {
        return {work_.over == Over::first  ? L::buffer(row_)
                : work_.over == Over::last ? L::buffer(column_)
                                           : Buffer<T>{all_},
                L::buffer(dx_)};
    }

private:
    const Reduction<T>& work_;
    typename L::Array x_, dx_;
    typename L::Row row_, drow_;
    typename L::Column column_, dcolumn_;
    T all_ = 0;
};

template <class T, class Library>
class ArraySoftmax : public Contender<T> {
    using L = Library;

public:
    explicit ArraySoftmax(const Softmax<T>& work)
        : x_(L::array(work.rows, work.cols)), dy_(x_), y_(x_), dx_(x_), column_(L::column(work.rows)) {
        L::fill(x_, work.x);
        L::fill(dy_, work.dy);
    }

    void run() override {
        L::set(column_, L::max_of_columns(x_));
        L::set(y_, L::exp(L::less_column(x_, column_)));
        L::set(column_, L::sum_of_columns(y_));
        L::set(y_, L::over_column(y_, column_));
        L::set(column_, L::sum_of_columns(dy_ * y_));
        L::set(dx_, y_ * L::less_column(dy_, column_));
    }
    std::vector<Buffer<T>> results() override { return {L::buffer(y_), L::buffer(dx_)}; }

private:
    typename L::Array x_, dy_, y_, dx_;
    typename L::Column column_;
};

template <class T, class Library>
class ArrayCrossEntropy : public Contender<T> {
    using L = Library;

public:
    explicit ArrayCrossEntropy(const CrossEntropy<T>& work)
        : work_(work),
          x_(L::array(work.rows, work.cols)),
          dx_(x_),
          shift_(L::column(work.rows)),
          sums_(shift_) {
        L::fill(x_, work.logits);
    }

    void run() override {
        const T rows = static_cast<T>(work_.rows);
        L::set(shift_, L::max_of_columns(x_));
        L::set(dx_, L::exp(L::less_column(x_, shift_)));
        L::set(sums_, L::sum_of_columns(dx_));
        loss_ = L::sum(L::log(sums_) + shift_);
        L::set(sums_, sums_ * rows);
        L::set(dx_, L::over_column(dx_, sums_));
        for (std::size_t i = 0; i < work_.rows; ++i) {
            loss_ -= L::at(x_, i, work_.classes[i]);
            L::at(dx_, i, work_.classes[i]) -= 1 / rows;
        }
        loss_ /= rows;
    }
    std::vector<Buffer<T>> results() override { return {Buffer<T>{loss_}, L::buffer(dx_)}; }

private:
    const CrossEntropy<T>& work_;
    typename L::Array x_, dx_;
    typename L::Column shift_, sums_;
    T loss_ = 0;
};

template <class T, class Library>
class ArrayAdam : public Contender<T> {
    using L = Library;
    using A = Adam<T>;

public:
    explicit ArrayAdam(const Adam<T>& work) : p_(L::row(work.p.size())), g_(p_), m_(p_), v_(p_) {
        L::fill(p_, work.p);
        L::fill(g_, work.g);
        L::fill(m_, Buffer<T>(work.p.size()));
        L::fill(v_, Buffer<T>(work.p.size()));
    }

    void run() override {
        ++steps_;
        const double v_correction = std::sqrt(1 - std::pow(A::beta2, steps_));
        const T rate = static_cast<T>(A::rate * v_correction / (1 - std::pow(A::beta1, steps_)));
        const T epsilon = static_cast<T>(A::epsilon * v_correction);
        const T beta1 = static_cast<T>(A::beta1), beta2 = static_cast<T>(A::beta2);
        L::set(m_, beta1 * m_ + static_cast<T>(1 - A::beta1) * g_);
        L::set(v_, beta2 * v_ + static_cast<T>(1 - A::beta2) * g_ * g_);
        L::set(p_, p_ - rate * m_ / (L::sqrt(v_) + epsilon));
    }
    std::vector<Buffer<T>> results() override { return {L::buffer(p_)}; }

private:
    typename L::Row p_, g_, m_, v_;
    int steps_ = 0;
};

/// A peer that is such a library.
template <class T, class Library>
class ArrayPeer : public Peer<T> {
public:
    std::string name() const override { return Library::name; }
    std::string version() const override { return Library::version(); }
    Entry<T> statement(const Statement<T>& work) const override {
        return std::make_unique<ArrayStatement<T, Library>>(work);
    }
    Entry<T> reduction(const Reduction<T>& work) const override {
        return std::make_unique<ArrayReduction<T, Library>>(work);
    }
    Entry<T> softmax(const Softmax<T>& work) const override {
        return std::make_unique<ArraySoftmax<T, Library>>(work);
    }
    Entry<T> cross_entropy(const CrossEntropy<T>& work) const override {
        return std::make_unique<ArrayCrossEntropy<T, Library>>(work);
    }
    Entry<T> adam(const Adam<T>& work) const override {
        return std::make_unique<ArrayAdam<T, Library>>(work);
    }
};

}  // namespace bench::ops
